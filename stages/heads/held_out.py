"""Rows that a head was not fitted on, for `certainty`: validation rows, or training rows out of fold."""

import numpy as np
from scipy.special import softmax

from stages.common.params import TrainHeadParams
from stages.heads import choosing
from stages.heads.certainty import HeldOut
from stages.heads.head import Head
from stages.heads.one_vs_rest_head import OneVsRest
from stages.tables.features import Features

MIN_VALIDATION_ROWS = 500  # with fewer, thresholds are made from training rows, if there are more of these


def from_validation(head: Head, validation: Features) -> HeldOut | None:
    """Judge the validation rows of known labels by the head; None where there are none."""
    rows = validation.select(np.flatnonzero(np.isin(validation.labels.astype(str), head.labels)))
    if not len(rows.ids):
        return None
    y = np.searchsorted(head.labels, rows.labels.astype(str))
    return HeldOut.from_probabilities(head.probabilities(rows.X), y, "validation")


def out_of_fold(head: Head, value: float, fitted: Features, settings: TrainHeadParams) -> HeldOut | None:
    """Judge the rows that a head was fitted on, by heads on the other folds; None where they cannot be divided.

    These heads have the same settings and temperature. They know fewer rows, and none without a label, so they are a
    little less often right.

    Args:
        value: the C, or number of neighbours, of the head.
        fitted: the rows that it was fitted on.
    """
    y = np.searchsorted(head.labels, fitted.labels.astype(str))
    scores = choosing.out_of_fold_scores(fitted.X, y, value, settings, fitted.groups)
    judged = np.flatnonzero(~np.isnan(scores).any(axis=1))
    if not len(judged):
        return None
    P = softmax(scores[judged] / head.temperature, axis=1)
    return HeldOut.from_probabilities(P, y[judged], "out-of-fold")


def best(
    head: Head | OneVsRest, value: float, train: Features, validation: Features, settings: TrainHeadParams
) -> HeldOut | None:
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
