"""What a task is: which arrays its labels are, what scores mean, what is decided, and how good that is.

A task is one of `prepare.task`, with the names of its labels. Stages ask it, and do not tell tasks apart themselves.
"""

from collections.abc import Sequence

from stages.common.setting_types import TaskName
from stages.tasks.multilabel import Multilabel
from stages.tasks.single import Single

Task = Single | Multilabel


def load(
    name: TaskName,
    labels: Sequence[str],
    thresholds: Sequence[float] | None = None,
    exclusive: tuple[tuple[str, ...], ...] = (),
) -> Task:
    """Make the task of this name.

    Args:
        labels: names of the labels, in the order of scores.
        thresholds: (labels,) probabilities from which one of several labels is given; None: 0.5.
        exclusive: sets of these of which every row has exactly one.
    """
    match name:
        case "multilabel":
            return Multilabel(tuple(labels), tuple(thresholds or [0.5] * len(labels)), exclusive)
        case _:
            return Single(tuple(labels))
