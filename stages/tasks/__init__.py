"""What a task is: which arrays its labels are, what scores mean, what is decided, and how good that is.

A task is one of `prepare.task`, with the names of its labels. Stages ask it, and do not tell tasks apart themselves.
`has_classes` is false for numbers, which have no labels, probabilities, mistakes or calibration: a task has the methods
for these only behind `if task.has_classes`, as mypy checks.
"""

from collections.abc import Sequence

import numpy as np

from stages.common.setting_types import TaskName
from stages.tables import label_texts
from stages.tables.label_info import LabelInfo
from stages.tasks.multilabel import Multilabel
from stages.tasks.ordinal import Ordinal
from stages.tasks.regression import Regression
from stages.tasks.single import Single

ClassTask = Single | Multilabel  # Ordinal is a Single
Task = ClassTask | Regression


def load(
    name: TaskName,
    labels: Sequence[str],
    *,
    thresholds: Sequence[float] | None = None,
    exclusive: tuple[tuple[str, ...], ...] = (),
    numbers: tuple[float, float] | None = None,
) -> Task:
    """Make the task of this name.

    Args:
        labels: names of the labels, in the order of scores; of ordinal ones, from low to high; none of numbers.
        thresholds: (labels,) probabilities from which one of several labels is given; None: 0.5.
        exclusive: sets of labels of which every row of several has exactly one.
        numbers: mean and scale of the training numbers; None: 0 and 1, where no scores are turned into outputs.
    """
    match name:
        case "multilabel":
            return Multilabel(tuple(labels), tuple(thresholds or [0.5] * len(labels)), exclusive)
        case "ordinal":
            return Ordinal(tuple(labels))
        case "regression":
            return Regression(*numbers or ())
        case "single":
            return Single(tuple(labels))


def from_rows(info: LabelInfo, texts: Sequence[str] | np.ndarray) -> Task:
    """Make the task of rows: its labels are those that rows have, of ordinal ones in their order.

    Args:
        info: of the table.
        texts: (rows,) labels as the table has them.
    """
    names = label_texts.counts(texts, info.task)
    return load(info.task, [label for label in info.order or names if label in names])


def placed(task: Task, outputs: np.ndarray, known: Sequence[str]) -> np.ndarray:
    """Return the outputs of a model that knows only some of the labels as outputs of the task.

    Args:
        outputs: (rows, known labels, …), or (rows, 1) of numbers.
        known: the labels of the model.
    """
    if not task.has_classes:
        return outputs
    out = task.unknown(len(outputs))
    out[:, [task.labels.index(label) for label in known]] = outputs
    return out
