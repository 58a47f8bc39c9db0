"""Choose from which probability on a label is given to a row, where any number of labels applies.

F1 is the best not at 0.5 but at half of the best F1 itself, if the probabilities are right (Lipton, Elkan and
Naryanaswamy 2014, Optimal Thresholding of Classifiers to Maximize F1 Measure): rare labels need lower thresholds.
"""

import numpy as np

from stages.scores.calibration import MIN_LABEL_ROWS

DEFAULT = 0.5


def choose(P: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Find the threshold of the best F1 of every label.

    Candidates are the midpoints between neighbouring distinct probabilities, and 0.5. So a label is never given to all
    rows where 0.5 does not do so, which is what F1 rewards of probabilities that know nothing. Of candidates of equal
    F1 the nearest to 0.5 is taken, then the lower one.

    Args:
        P: (rows, labels) probabilities of rows that the model was not trained on.
        Y: (rows, labels) bool, which labels apply.

    Returns:
        (labels,); 0.5 for labels that apply to fewer than MIN_LABEL_ROWS rows.
    """
    thresholds = np.full(P.shape[1], DEFAULT)
    for k in np.flatnonzero(Y.sum(axis=0) >= MIN_LABEL_ROWS):
        thresholds[k] = _best(P[:, k], Y[:, k])
    return thresholds


def decide(P: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Give the labels whose probability is at least their threshold: (rows, labels) bool."""
    return np.asarray(thresholds <= P)


def _best(probabilities: np.ndarray, applies: np.ndarray) -> float:
    """Find the threshold of one label; both arguments (rows,)."""
    distinct = np.unique(probabilities)
    middles = (distinct[:-1] + distinct[1:]) / 2
    middles = np.where(middles > distinct[:-1], middles, distinct[1:])  # no number lies between these two
    candidates = np.append(middles, DEFAULT)
    given = _at_least(probabilities, candidates)
    hits = _at_least(probabilities[applies], candidates)
    f1 = 2 * hits / (given + applies.sum())
    best = candidates[f1 == f1.max()]
    return float(min(best, key=lambda threshold: (abs(threshold - DEFAULT), threshold)))


def _at_least(values: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Count the values that are no less than every threshold: (thresholds,)."""
    return len(values) - np.searchsorted(np.sort(values), thresholds, side="left")
