"""The training rows whose features are most like those of other rows, by cosine."""

from typing import Any, TypeAlias

import numpy as np
import scipy

from stages.scores import products

Matrix: TypeAlias = "np.ndarray | scipy.sparse.csr_matrix"

COSINES_PER_BLOCK = 2**24  # cosines held at a time
TRAIN_ROWS_PER_PART = 2**15  # scaled copies of training rows held at a time
MIN_GROUPED_COLUMNS = 2**11  # cosines of a row of which the highest are looked for by groups
COLUMNS_PER_GROUP = 128


def find(train: Matrix, rows: Matrix, count: int, *, is_unit: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Find the `count` training rows that are nearest to every row, the nearest first.

    Compares all pairs, a block of rows at a time: time grows with training rows x rows, memory with the rows.
    On 100,000 x 10,000 rows, scikit-learn's pairwise_distances_argmin_min takes 2 to 4 times as long and over 1 GB
    more to find the same rows (tests/benchmarks/near_duplicates.py).

    Args:
        train: (training rows, dim)
        rows: (rows, dim)
        is_unit: whether the training rows have length 1 already, which saves most of the time for a few rows.

    Returns:
        Indices into `train`, int64, and cosines, float32: both (rows, count), or fewer columns where there are fewer
        training rows.
    """
    nearest, cosines = np.zeros((rows.shape[0], 0), dtype=np.int64), np.zeros((rows.shape[0], 0), dtype=np.float32)
    for first in range(0, train.shape[0], TRAIN_ROWS_PER_PART):
        known = train[first : first + TRAIN_ROWS_PER_PART]
        part, cosines_of_part = _find(known if is_unit else unit(known), rows, count)
        nearest, cosines = np.hstack([nearest, part + first]), np.hstack([cosines, cosines_of_part])
        if first:  # keep the nearest of all parts up to here
            order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
            nearest = np.take_along_axis(nearest, order, axis=1)
            cosines = np.take_along_axis(cosines, order, axis=1)
    return nearest, np.minimum(cosines, 1)


def _find(train: Any, rows: Any, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest training rows as `find` does; `train` has length 1."""
    count, with_train = min(count, train.shape[0]), products.with_transposed(train)
    nearest = np.zeros((rows.shape[0], count), dtype=np.int64)
    cosines = np.zeros(nearest.shape, dtype=np.float32)
    step = max(1, COSINES_PER_BLOCK // train.shape[0])
    for start in range(0, rows.shape[0] if count else 0, step):
        block = with_train(unit(rows[start : start + step]))  # (step, training rows)
        part = slice(start, start + len(block))
        nearest[part] = _highest(block, count)
        cosines[part] = np.take_along_axis(block, nearest[part], axis=1)
    return nearest, cosines


def _highest(cosines: np.ndarray, count: int) -> np.ndarray:
    """Find the columns of the highest values of every row, the highest first: (rows, count)."""
    highest: np.ndarray
    if count == 1:  # nothing to sort
        highest = cosines.argmax(axis=1, keepdims=True)
        return highest
    if cosines.shape[1] < max(MIN_GROUPED_COLUMNS, count * COLUMNS_PER_GROUP):
        return _highest_of(cosines, count)
    # They are in the groups of columns with the highest maxima, or in the columns behind the last whole group.
    whole = cosines.shape[1] // COLUMNS_PER_GROUP * COLUMNS_PER_GROUP
    maxima = cosines[:, :whole].reshape(len(cosines), -1, COLUMNS_PER_GROUP).max(axis=2)
    groups = np.sort(np.argpartition(-maxima, count - 1, axis=1)[:, :count], axis=1)  # (rows, count)
    columns = (groups[:, :, None] * COLUMNS_PER_GROUP + np.arange(COLUMNS_PER_GROUP)).reshape(len(cosines), -1)
    rest = np.broadcast_to(np.arange(whole, cosines.shape[1]), (len(cosines), cosines.shape[1] - whole))
    columns = np.hstack([columns, rest])
    highest = np.take_along_axis(columns, _highest_of(np.take_along_axis(cosines, columns, axis=1), count), axis=1)
    return highest


def _highest_of(values: np.ndarray, count: int) -> np.ndarray:
    """Find the columns of the highest values of every row as `_highest` does; takes long on many columns."""
    columns = np.sort(np.argpartition(-values, count - 1, axis=1)[:, :count], axis=1)
    order = np.argsort(-np.take_along_axis(values, columns, axis=1), axis=1, kind="stable")
    highest: np.ndarray = np.take_along_axis(columns, order, axis=1)
    return highest


def unit(X: Any) -> Any:
    """Scale the rows to length 1; rows of zeros, whose cosines are all 0, stay as they are."""
    if not isinstance(X, np.ndarray):
        norms = np.sqrt(np.asarray(X.multiply(X).sum(axis=1)).ravel())
        return scipy.sparse.diags(1 / np.where(norms > 0, norms, 1)).astype(np.float32) @ X
    X = X.astype(np.float32, copy=False)
    norms = np.linalg.norm(X, axis=1, keepdims=True)
    return X / np.where(norms > 0, norms, 1)
