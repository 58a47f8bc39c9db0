"""What a task is: which arrays its labels are, what scores mean, what is decided, and how good that is.

A task is one of `prepare.task`, with the names of its labels. Stages ask it, and do not tell tasks apart themselves.
`has_classes` is false for numbers, which have no labels, probabilities, mistakes or calibration: a task has the methods
for these only behind `if task.has_classes`, as mypy checks.
"""

from collections.abc import Sequence

from stages.common.setting_types import TaskName
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
    numbers: tuple[float, float] | None = None,
) -> Task:
    """Make the task of this name.

    Args:
        labels: names of the labels, in the order of scores; of ordinal ones, from low to high; none of numbers.
        thresholds: (labels,) probabilities from which one of several labels is given; None: 0.5.
        numbers: mean and scale of the training numbers; None: 0 and 1, where no scores are turned into outputs.
    """
    match name:
        case "multilabel":
            return Multilabel(tuple(labels), tuple(thresholds or [0.5] * len(labels)))
        case "ordinal":
            return Ordinal(tuple(labels))
        case "regression":
            return Regression(*numbers or ())
        case "single":
            return Single(tuple(labels))
