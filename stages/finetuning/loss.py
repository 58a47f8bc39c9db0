"""The loss of training: that of the task, and the contrastive loss if it is asked for."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from stages.common.params import FinetuneParams
from stages.finetuning.contrast import Memory
from stages.tasks import Task
from stages.tasks.multilabel import Multilabel
from stages.tasks.ordinal import Ordinal
from stages.tasks.regression import Regression


class Targets(NamedTuple):
    """What a network is to say of rows, and how much that counts.

    Attributes:
        shares: (rows, labels) that sum to 1.
        weights: (rows,), 1 on average.
    """

    shares: np.ndarray
    weights: np.ndarray


LabelLoss: TypeAlias = Callable[[Tensor, Tensor], Tensor]  # scores (batch, …), row indices (batch,) to (batch,)


class Loss:
    """The mean loss over the rows of a pass."""

    def __init__(
        self,
        y: Tensor,
        task: Task,
        settings: FinetuneParams,
        memory: Memory | None,
        targets: Targets | None = None,
    ) -> None:
        """
        Args:
            y: the targets of `task` of all training rows, as `as_tensor` gives them.
            memory: for the contrastive loss.
            targets: of all training rows, in place of their labels.
        """
        self._contrastive, self._memory = float(settings.contrastive), memory
        self._row_weights = torch.ones(len(y), device=y.device)
        match task:
            case Regression():
                self._of_labels = _squared_error(y)
                return
            case Multilabel():
                self._of_labels = _of_several_labels(y, task.exclusive_indices(), settings)
                return
            case Ordinal():
                self._of_labels = _cumulative(y, len(task.labels), settings)
            case _:
                self._of_labels = _soft_cross_entropy(targets, y.device) if targets else _cross_entropy(y, settings)
        self._row_weights = class_weights(y.cpu().numpy(), len(task.labels), settings).to(y.device)[y]

    def __call__(self, logits: Tensor, vectors: Tensor, rows: Tensor) -> Tensor:
        """Return the mean loss of a pass.

        Args:
            logits: (batch, columns), the scores of the task.
            vectors: (batch, dim), the encoder's.
            rows: (batch,) indices of the training rows.
        """
        losses = self._of_labels(logits.float(), rows)
        if self._memory:
            losses = losses + self._contrastive * self._memory.losses(vectors, rows)
        return (losses * self._row_weights[rows]).mean()


def as_tensor(T: np.ndarray, task: Task, device: torch.device) -> Tensor:
    """Return the targets of `task` as training takes them: numbers with a mean of 0 and a deviation of 1, float32."""
    if isinstance(task, Regression):
        T = task.standardised(T).astype(np.float32)
    return torch.from_numpy(T).to(device)


def class_weights(y: np.ndarray, labels: int, settings: FinetuneParams) -> Tensor:
    """Return the weight of each label, (labels,), so that the mean over all rows is 1. `y`: (rows,) label indices."""
    if settings.class_weight is None:
        return torch.ones(labels)
    counts = np.bincount(y, minlength=labels)
    return torch.from_numpy(len(y) / (np.maximum(counts, 1) * (counts > 0).sum())).float()


def decision_weights(Y: Tensor, settings: FinetuneParams) -> tuple[Tensor, Tensor]:
    """Return the weights of a row with a label, and of one without it, both (labels,), so that their mean is 1.

    Balanced, all rows with a label weigh as much as all rows without it, as in heads. So the weight of a rare label has
    no bound, but `max_grad_norm` bounds every step.

    Args:
        Y: (rows, labels) bool.
    """
    if settings.class_weight is None:
        ones = torch.ones(Y.shape[1], device=Y.device)
        return ones, ones
    counts = Y.sum(dim=0)
    others = len(Y) - counts
    is_constant = (counts == 0) | (others == 0)
    with_label, without = (len(Y) / (2 * number.clamp(min=1)) for number in (counts, others))
    return with_label.masked_fill(is_constant, 1), without.masked_fill(is_constant, 1)


def _cross_entropy(y: Tensor, settings: FinetuneParams) -> LabelLoss:
    return lambda logits, rows: nn.functional.cross_entropy(
        logits, y[rows], reduction="none", label_smoothing=settings.label_smoothing
    )


def _soft_cross_entropy(targets: Targets, device: torch.device) -> LabelLoss:
    shares, weights = (torch.from_numpy(part).to(device) for part in targets)
    return lambda logits, rows: nn.functional.cross_entropy(logits, shares[rows], reduction="none") * weights[rows]


def _of_several_labels(Y: Tensor, sets: Sequence[list[int]], settings: FinetuneParams) -> LabelLoss:
    """Give the mean loss over the decisions of a row: one for every label, but one for a set of which rows have one."""
    alone = [label for label in range(Y.shape[1]) if all(label not in labels for labels in sets)]
    parts = [(alone, _binary_cross_entropy(Y[:, alone], settings))]
    parts += [(labels, _exclusive_cross_entropy(Y[:, labels], settings)) for labels in sets]
    return lambda logits, rows: torch.cat([loss(logits[:, labels], rows) for labels, loss in parts], dim=1).mean(dim=1)


def _exclusive_cross_entropy(Y: Tensor, settings: FinetuneParams) -> LabelLoss:
    """Give the loss of labels that exclude each other, (batch, 1); 0 for a row with none of them, as a label's name."""
    has_one, y = Y.sum(dim=1) == 1, Y.int().argmax(dim=1)
    weights = class_weights(y[has_one].cpu().numpy(), Y.shape[1], settings).to(Y.device)[y] * has_one
    loss = _cross_entropy(y, settings)
    return lambda logits, rows: (loss(logits, rows) * weights[rows])[:, None]


def _binary_cross_entropy(Y: Tensor, settings: FinetuneParams) -> LabelLoss:
    """Give the loss of every label, (batch, labels); smoothing spreads a part over both decisions."""
    with_label, without = decision_weights(Y, settings)

    def losses(logits: Tensor, rows: Tensor) -> Tensor:
        truth = Y[rows]
        shares = truth.float() * (1 - settings.label_smoothing) + settings.label_smoothing / 2
        weights = torch.where(truth, with_label, without)
        return nn.functional.binary_cross_entropy_with_logits(logits, shares, weights, reduction="none")

    return losses


def _cumulative(y: Tensor, labels: int, settings: FinetuneParams) -> LabelLoss:
    """Give the mean over the decisions whether a row is above a label; smoothing spreads a part over all labels."""
    cuts = torch.arange(labels - 1, device=y.device)
    smooth = settings.label_smoothing * (labels - 1 - cuts) / labels

    def losses(scores: Tensor, rows: Tensor) -> Tensor:
        shares = (y[rows][:, None] > cuts).float() * (1 - settings.label_smoothing) + smooth
        return nn.functional.binary_cross_entropy_with_logits(scores, shares, reduction="none").mean(dim=1)

    return losses


def _squared_error(y: Tensor) -> LabelLoss:
    return lambda scores, rows: ((scores - y[rows]) ** 2)[:, 0]
