"""Rows whose label is likely wrong, by confident learning (Northcutt et al. 2021), as cleanlab implements it.

Confident learning counts rows that a classifier which never saw them is as sure to be of another class as it is of that
class's own rows in the mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace

import numpy as np
import pyarrow as pa

from stages.tables.features import Features

MIN_LABEL_ERROR_ROWS = 20  # fewer say nothing about how sure the classifier is of each class


@dataclass(frozen=True)
class Suspect:
    """A row, as an index, with the label that is likelier, and the probability of either, as indices."""

    row: int
    suggested: int
    p_given: float
    p_suggested: float


def find(y: np.ndarray, P: np.ndarray) -> list[Suspect]:
    """The rows that are likely labelled wrongly, the likeliest first.

    Args:
        y: (rows,) label indices.
        P: (rows, labels) probabilities by a classifier that did not learn from these rows.
    """
    present = np.unique(y)
    if len(y) < MIN_LABEL_ERROR_ROWS or len(present) < 2:
        return []
    from cleanlab.filter import find_label_issues

    # Labels without a row have no mean confidence to compare with.
    shares = P[:, present] / np.maximum(P[:, present].sum(axis=1, keepdims=True), np.finfo(float).tiny)
    rows = find_label_issues(np.searchsorted(present, y), shares, return_indices_ranked_by="self_confidence", n_jobs=1)
    return [
        Suspect(int(row), int(guess), float(P[row, y[row]]), float(P[row, guess]))
        for row, guess in zip(rows, P[rows].argmax(axis=1), strict=True)
    ]


def in_training(train: Features, C: float) -> list[Suspect]:
    """The training rows that are likely labelled wrongly, by out-of-fold probabilities of a logistic head.

    Rows of classes with a single row are not looked at: no other fold has their class.

    Args:
        C: of the head.
    """
    from stages.heads import choosing  # takes most of a second, and is not needed for what is kept

    names, y, counts = np.unique(train.labels.astype(str), return_inverse=True, return_counts=True)
    kept = np.flatnonzero(counts[y] > 1)
    known = np.unique(y[kept])
    if len(known) < 2:
        return []
    P = np.zeros((len(kept), len(names)))
    P[:, known] = choosing.out_of_fold(train.X[kept], train.labels[kept], C)
    return [replace(each, row=int(kept[each.row])) for each in find(y[kept], P)]


def to_array(suspects: Sequence[Suspect]) -> np.ndarray:
    """Suspects as an array, to be kept: (suspects, 4)."""
    return np.array([astuple(each) for each in suspects], dtype=np.float64).reshape(-1, 4)


def from_array(array: np.ndarray) -> list[Suspect]:
    """What `to_array` gave."""
    return [Suspect(int(row), int(suggested), *p) for row, suggested, *p in array.tolist()]


def table(suspects: Mapping[str, Sequence[Suspect]], rows: Mapping[str, Features], labels: Sequence[str]) -> pa.Table:
    """The suspects of each split with ids and names of labels; `rows` of the splits, `labels` in order."""
    found = [(split, rows[split], each) for split in suspects for each in suspects[split]]
    return pa.table(
        {
            "split": pa.array([split for split, _, _ in found], pa.string()),
            "id": pa.array([of.ids[each.row] for _, of, each in found], pa.string()),
            "label": pa.array([of.labels[each.row] for _, of, each in found], pa.string()),
            "suggested": pa.array([labels[each.suggested] for _, _, each in found], pa.string()),
            "p_label": pa.array([each.p_given for _, _, each in found], pa.float32()),
            "p_suggested": pa.array([each.p_suggested for _, _, each in found], pa.float32()),
        }
    )
