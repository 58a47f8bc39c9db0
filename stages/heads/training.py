"""Fit a head as train_head ships it: on the training rows, or with `train_head.final: all` on all labelled ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from stages.common.errors import HeadstartError
from stages.common.params import TrainHeadParams
from stages.heads import choosing
from stages.heads.choosing import Chosen
from stages.heads.head import Head
from stages.scores import calibration
from stages.tables import features
from stages.tables.features import Features


def check_classes(labels: np.ndarray, split_folder: Path) -> None:
    """Raise a HeadstartError unless there are two classes; `labels`: (rows,) of the training rows in `split_folder`."""
    names = np.unique(labels.astype(str))
    if len(names) < 2:
        rows = f"only rows of class {names[0]}" if len(names) else "no labelled rows"
        raise HeadstartError(
            f"{split_folder} has {rows}, but a head needs two classes; label more rows, of which"
            " `python -m stages.suggest data/head NEXT.csv` names the best, and run `dvc repro`"
        )


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
