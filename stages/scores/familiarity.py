"""How unlike the training rows a row is: an input of another kind gets confident labels too.

A row's distance is the mean cosine distance of its vector to the two nearest training rows. It is compared with the
distances of the training rows to each other, every one to its two nearest others.

Source: Sun et al. 2022, Out-of-Distribution Detection with Deep Nearest Neighbors; two neighbours by measurement.
"""

import numpy as np

from stages.scores import nearest_rows
from stages.scores.nearest_rows import Matrix

NEIGHBORS = 2


def distances(train: Matrix, rows: Matrix, *, is_unit: bool = False) -> np.ndarray:
    """Compute the distance of rows to the training rows: (rows,) float32.

    Args:
        train: (training rows, dim)
        rows: (rows, dim)
        is_unit: whether the training rows have length 1.
    """
    return _mean_distance(nearest_rows.find(train, rows, NEIGHBORS, is_unit=is_unit)[1])


def leave_one_out(train: Matrix) -> np.ndarray:
    """Compute the distance of every training row to the other ones: (rows,) float32, ascending."""
    own_and_others = nearest_rows.find(train, train, NEIGHBORS + 1)[1]
    return np.sort(_mean_distance(own_and_others[:, 1:]))


def percentiles(known: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Compute the share of training rows, in percent, that are nearer to the others than a row is: (rows,), 0 to 100.

    Args:
        known: what `leave_one_out` returns.
        distances: what `distances` returns.
    """
    return np.asarray(100 * np.searchsorted(known, distances) / len(known))


def _mean_distance(cosines: np.ndarray) -> np.ndarray:
    return np.asarray(1 - cosines.mean(axis=1))
