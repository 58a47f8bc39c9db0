"""Fit a head as train_head ships it: on the training rows, or with `train_head.final: all` on all labelled ones."""

from dataclasses import replace

import numpy as np

from stages.common.params import TrainHeadParams
from stages.heads import choosing
from stages.heads.choosing import Chosen
from stages.heads.head import Head
from stages.scores import calibration
from stages.tables import features
from stages.tables.features import Features


def fit(train: Features, validation: Features, settings: TrainHeadParams) -> tuple[Head, Chosen, float]:
    """Fit and calibrate a head.

    Returns:
        The head, what was chosen, and the factor of its temperature that was fitted on the validation rows: 1 where
        they are too few, or where the head was fitted on them too, whose temperature is that of out-of-fold scores.
    """
    if settings.final == "all":
        rows = features.joined({"train": train, "validation": validation})
        return *choosing.fit(rows.X, rows.labels, settings, rows.groups), 1.0
    head, chosen = choosing.fit(train.X, train.labels, settings, train.groups)
    head, factor = calibrated(head, validation)
    return head, chosen, factor


def calibrated(head: Head, validation: Features) -> tuple[Head, float]:
    """Fit the temperature to the validation rows of known labels; give the new head and the factor."""
    known = np.flatnonzero(np.isin(validation.labels.astype(str), head.labels))
    if len(known) < calibration.MIN_CALIBRATION_ROWS:
        return head, 1.0
    rows = validation.select(known)
    y = np.searchsorted(head.labels, rows.labels.astype(str))
    factor = calibration.fit_temperature(calibration.logits(head.probabilities(rows.X)), y)
    return replace(head, temperature=head.temperature * factor), factor
