"""What the last step of a graph makes of scores, for each task, as `Task.outputs` does."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from stages.tasks import Task
from stages.tasks.multilabel import Multilabel
from stages.tasks.ordinal import Ordinal
from stages.tasks.regression import Regression

Ending: TypeAlias = Callable[[Tensor], Tensor]  # scores (rows, …) to probabilities (rows, labels) or numbers (rows, 1)


def from_task(task: Task) -> Ending:
    """Return the ending for the scores of a task."""
    if isinstance(task, Regression):
        # In float32, large numbers would lose digits; ONNX takes the numbers of Python for such.
        mean, scale = (torch.tensor(number, dtype=torch.float64) for number in (task.mean, task.scale))
        return lambda X: X.double() * scale + mean
    if isinstance(task, Ordinal):
        return _from_cumulative
    if isinstance(task, Multilabel):
        sets = task.exclusive_indices()
        return lambda X: _of_several_labels(X, sets)
    return softmax


def softmax(X: Tensor) -> Tensor:
    """Compute the probability of every label from its score."""
    return torch.softmax(X, dim=1)


def _from_cumulative(X: Tensor) -> Tensor:
    """Compute the probability of every label from log odds of being above it, (rows, labels - 1), but the highest."""
    columns = list(torch.sigmoid(X).unbind(dim=1))
    for number in range(1, len(columns)):  # ONNX has no running minimum
        columns[number] = torch.minimum(columns[number - 1], columns[number])
    above = torch.stack(columns, dim=1)
    edge = torch.ones_like(above[:, :1])
    return torch.cat([edge, above], dim=1) - torch.cat([above, edge - 1], dim=1)


def _of_several_labels(X: Tensor, sets: Sequence[list[int]]) -> Tensor:
    """Compute the probability of every label by itself, and in sets of labels that exclude each other by a softmax."""
    columns = list(torch.sigmoid(X).unbind(dim=1))
    for labels in sets:
        of_set = torch.softmax(torch.stack([X[:, label] for label in labels], dim=1), dim=1)
        for label, column in zip(labels, of_set.unbind(dim=1), strict=True):
            columns[label] = column
    return torch.stack(columns, dim=1)
