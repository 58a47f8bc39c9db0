"""Rows that a head was not fitted on, for `certainty`: validation rows, or training rows out of fold."""

import numpy as np

from stages.common.params import TrainHeadParams
from stages.heads import certainty, choosing, numbers, ordered
from stages.heads.certainty import HeldOut, HeldOutNumbers
from stages.heads.head import Head
from stages.heads.numbers import NumberHead
from stages.heads.one_vs_rest import OneVsRest
from stages.heads.ordered import OrderedHead
from stages.tables.features import Features

MIN_VALIDATION_ROWS = 500  # with fewer, thresholds are made from training rows, if there are more of these


def from_validation(head: Head | NumberHead, validation: Features) -> HeldOut | HeldOutNumbers | None:
    """Judge the validation rows of known labels by the head; None where there are none."""
    rows = validation.select(np.flatnonzero(head.task.knows(validation.labels)))
    if not len(rows.ids):
        return None
    return certainty.judged(head.task, head.task.targets(rows.labels), head.outputs(rows.X), "validation")


def out_of_fold(
    head: Head | NumberHead, value: float, fitted: Features, settings: TrainHeadParams
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
    return certainty.judged(head.task, T[rows], outputs[rows], "out-of-fold") if len(rows) else None


def best(
    head: Head | NumberHead | OneVsRest,
    value: float,
    train: Features,
    validation: Features,
    settings: TrainHeadParams,
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
        return from_validation(head, validation)
    return out_of_fold(head, value, train, settings) or (None if is_seen else from_validation(head, validation))
