"""Divide labelled rows into folds of like classes. Rows of a group stay in one fold.

Everywhere, `y` is (rows,) label indices and `groups` is (rows,) names of groups, or None where every row stands alone.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from stages.common.setting_types import TaskName
from stages.tables import label_texts

MAX_STRATA = 10  # of numbers
ROWS_PER_STRATUM = 10


@dataclass(frozen=True)
class Fold:
    """Indices of rows to train on, and of rows to judge on, whose classes are all among the former.

    A row of a class that no training row of its fold has is in neither.
    """

    training: np.ndarray
    held_out: np.ndarray


def strata(labels: np.ndarray, task: TaskName) -> np.ndarray:
    """Return the class of every row by which folds are alike, (rows,) indices; of several labels the rarest.

    Of numbers it is `number_strata`.

    Args:
        labels: (rows,) as the tables write them.
    """
    if task == "multilabel":
        return rarest(label_texts.indicators(labels, label_texts.vocabulary(labels)))
    if task == "regression":
        return number_strata(np.array([label_texts.number(label) for label in labels]))
    return np.asarray(np.unique(labels.astype(str), return_inverse=True)[1])


def number_strata(T: np.ndarray) -> np.ndarray:
    """Divide rows by their numbers, (rows,), into 2 to 10 parts of about the same size, from low to high: indices."""
    parts = min(max(len(T) // ROWS_PER_STRATUM, 2), MAX_STRATA)
    ranks = np.empty(len(T), dtype=np.int64)
    ranks[np.argsort(T, kind="stable")] = np.arange(len(T))
    return ranks * parts // max(len(T), 1)


def rarest(Y: np.ndarray) -> np.ndarray:
    """Return the rarest label of every row, (rows,); the number of labels for none. `Y`: (rows, labels) bool."""
    counts = np.where(Y, Y.sum(axis=0), len(Y) + 1)
    return np.asarray(np.where(Y.any(axis=1), counts.argmin(axis=1), Y.shape[1]))


def units(y: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """Count the rows of every class, or the groups that have rows of it: in so many folds it can be. (labels,)"""
    if groups is None or not len(y):
        return np.bincount(y)
    pairs = np.unique(np.column_stack([y, np.unique(groups, return_inverse=True)[1]]), axis=0)
    return np.bincount(pairs[:, 0])


def fewest(rows: int, most: int) -> int:
    """Return in how few folds so many rows can be divided while `most` rows or more are outside of every fold.

    A head that is fitted on `most` rows at most learns no more from more folds, which only take longer.
    """
    within = rows - most  # the most rows that a fold may hold
    return max(-(-rows // within) if within > 0 else rows, 2)


def select(groups: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    """Return the groups of chosen rows; `rows`: (chosen,) indices or (rows,) bool."""
    return None if groups is None else groups[rows]


def split(
    y: np.ndarray, count: int, *, groups: np.ndarray | None = None, seed: int = 0, are_classes: bool = True
) -> list[Fold]:
    """Divide the rows into `count` folds, or fewer where no class has rows or groups for as many.

    Args:
        are_classes: whether a fold has to know a class to judge its rows; false for the `number_strata` of numbers.

    Returns:
        The folds that have rows to judge on; none where they would train on fewer than two classes. Every row is judged
        on once, but for rows of a class that is in one fold only.
    """
    count = min(count, int(units(y, groups).max(initial=0)))
    if count < 2:
        return []
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with fewer rows than folds
        parts = list(kind(count, shuffle=True, random_state=seed).split(np.empty(len(y)), y, groups))
    folds = []
    for training, held_out in parts:
        known = np.unique(y[training] if are_classes else y)
        judged = held_out[np.isin(y[held_out], known)]
        if len(known) > 1 and len(judged):
            folds.append(Fold(training, judged))
    return folds
