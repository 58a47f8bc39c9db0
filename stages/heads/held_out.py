"""Rows that a head was not fitted on, for `certainty`: validation rows, or training rows out of fold."""

from typing import NamedTuple

import numpy as np

from stages.common.errors import counted
from stages.common.params import TrainHeadParams
from stages.heads import certainty, choosing, numbers, ordered
from stages.heads.certainty import HeldOut, HeldOutNumbers
from stages.heads.head import Head
from stages.heads.numbers import NumberHead
from stages.heads.one_vs_rest_head import OneVsRest
from stages.heads.ordered import OrderedHead
from stages.tables.features import Features

MIN_VALIDATION_ROWS = 500  # with fewer, thresholds are made from training rows, if there are more of these


class Unknown(NamedTuple):
    """Rows of the class `prepare.unknown` by split; None where there are none.

    They come with held-out rows of their own split, so that these have as large a share of them as the data.
    """

    train: Features | None = None
    validation: Features | None = None

    def outputs(self, head: Head | NumberHead, *splits: str) -> np.ndarray | None:
        """Compute the outputs for those of these splits, which no head was fitted on: (rows, …)."""
        parts = [head.outputs(rows.X) for split in splits if (rows := getattr(self, split))]
        return np.vstack(parts) if parts else None

    def remark(self, held_out: HeldOut | HeldOutNumbers | None) -> str | None:
        """Say if there are unknown rows, but none among the held-out rows."""
        number = sum(len(rows.ids) for rows in self if rows)
        if not number or (isinstance(held_out, HeldOut) and held_out.unknown is not None):
            return None
        return (
            f"{counted(number, 'unknown row')} had no say in from where rows are accepted, since none is among the"
            " held-out rows; add some"
        )


NO_ROWS = Unknown()


def from_validation(
    head: Head | NumberHead, validation: Features, unknown: Unknown = NO_ROWS
) -> HeldOut | HeldOutNumbers | None:
    """Judge the validation rows of known labels by the head; None where there are none."""
    rows = validation.select(np.flatnonzero(head.task.knows(validation.labels)))
    if not len(rows.ids):
        return None
    others = unknown.outputs(head, "validation")
    return certainty.judged(head.task, head.task.targets(rows.labels), head.outputs(rows.X), "validation", others)


def out_of_fold(
    head: Head | NumberHead, value: float, fitted: Features, settings: TrainHeadParams, unknown: Unknown = NO_ROWS
) -> HeldOut | HeldOutNumbers | None:
    """Judge the rows that a head was fitted on, by heads on the other folds; None where they cannot be divided.

    These heads have the same settings and temperature. They know fewer rows, and none without a label, so they are a
    little less often right.

    Args:
        value: the C, or number of neighbours, of the head.
        fitted: the rows that it was fitted on.
    """
    X, T, groups = fitted.X, head.task.targets(fitted.labels), fitted.groups
    if isinstance(head, NumberHead):
        outputs = numbers.out_of_fold(X, T, value, settings, groups)
    elif isinstance(head, OrderedHead):
        scores = ordered.out_of_fold_scores(X, T, head.task, C=value, settings=settings, groups=groups)
        outputs = head.task.outputs(scores / head.temperature)
    else:
        scores = choosing.out_of_fold_scores(X, T, value, settings, groups)
        outputs = head.task.outputs(scores / head.temperature)
    rows = np.flatnonzero(~np.isnan(outputs).any(axis=1))
    if not len(rows):
        return None
    others = unknown.outputs(head, "train", *(["validation"] if settings.final == "all" else []))
    return certainty.judged(head.task, T[rows], outputs[rows], "out-of-fold", others)


def best(
    head: Head | NumberHead | OneVsRest,
    value: float,
    train: Features,
    validation: Features,
    settings: TrainHeadParams,
    *,
    unknown: Unknown = NO_ROWS,
) -> HeldOut | HeldOutNumbers | None:
    """Judge the validation rows, or the rows that the head was fitted on where those are few, or were fitted on too.

    None also for several labels per row, which have thresholds of their own.

    Args:
        train: the rows that the head was fitted on.
    """
    if isinstance(head, OneVsRest):
        return None
    is_seen = settings.final == "all"
    if not is_seen and len(validation.ids) >= min(MIN_VALIDATION_ROWS, len(train.ids)):
        return from_validation(head, validation, unknown)
    by_folds = out_of_fold(head, value, train, settings, unknown)
    return by_folds or (None if is_seen else from_validation(head, validation, unknown))
