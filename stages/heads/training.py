"""Fit a head as train_head ships it: on the training rows, or with `train_head.final: all` on all labelled ones."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.common.errors import HeadstartError
from stages.common.params import TrainHeadParams
from stages.heads import choosing, propagation
from stages.heads.choosing import Chosen
from stages.heads.head import Head
from stages.heads.propagation import Trial
from stages.scores import calibration
from stages.tables import features, prepared
from stages.tables.features import Features


def check_classes(labels: np.ndarray, split_folder: Path) -> None:
    """Raise a HeadstartError unless there are two classes; `labels`: (rows,) of the training rows in `split_folder`."""
    names = np.unique(labels.astype(str))
    if len(names) < 2:
        rows = f"only rows of class {names[0]}" if len(names) else "no labelled rows"
        raise HeadstartError(
            f"{split_folder} has {rows}, but a head needs two classes; label more rows:"
            " `python -m stages.label` asks you for them; then run `dvc repro`"
        )


class Fitted(NamedTuple):
    """A head, and how it came about.

    Attributes:
        factor: of its temperature, fitted on the validation rows: 1 where they are too few, or where the head was
            fitted on them too, whose temperature is that of out-of-fold scores.
        trial: of learning from unlabelled rows; None without them.
    """

    head: Head
    chosen: Chosen
    factor: float
    trial: Trial | None = None


def unlabelled_rows(features_folder: Path, settings: TrainHeadParams) -> Features | None:
    """Read the unlabelled rows to learn from, if the settings say so and there are any."""
    if settings.unlabelled is None:
        return None
    rows = features.read(features_folder, prepared.LEARNING)
    return rows if len(rows.ids) else None


def fit(train: Features, validation: Features, settings: TrainHeadParams, unlabelled: Features | None = None) -> Fitted:
    """Fit and calibrate a head; with `unlabelled` it also learns from these rows, if that is better."""
    if settings.final == "all":
        train = features.joined({"train": train, "validation": validation})
    plain = choosing.fit(train.X, train.labels, settings, train.groups)
    (head, chosen), trial = propagation.fit(train, unlabelled, plain, settings) if unlabelled else (plain, None)
    if settings.final == "all":
        return Fitted(head, chosen, 1.0, trial)
    head, factor = calibrated(head, validation)
    return Fitted(head, chosen, factor, trial)


def calibrated(head: Head, validation: Features) -> tuple[Head, float]:
    """Fit the temperature to the validation rows of known labels; give the new head and the factor."""
    known = np.flatnonzero(np.isin(validation.labels.astype(str), head.labels))
    if len(known) < calibration.MIN_CALIBRATION_ROWS:
        return head, 1.0
    rows = validation.select(known)
    y = np.searchsorted(head.labels, rows.labels.astype(str))
    factor = calibration.fit_temperature(calibration.logits(head.probabilities(rows.X)), y)
    return replace(head, temperature=head.temperature * factor), factor
