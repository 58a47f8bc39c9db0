"""The nearest training rows of many rows, without comparing all pairs: an inverted file (Sivic and Zisserman 2003).

Some training rows, drawn by chance, lead cells: every training row belongs to its nearest leader. A row is compared
only with the cells of the leaders that are nearest to it. How many these must be depends on the features and on the
cosine that counts. So it is measured, on training rows that are moved away to just that cosine, in the directions in
which rows of this table differ. Where features tell rows apart, it is a few of sqrt(training rows) cells.
"""

from typing import Any

import numpy as np
from scipy import sparse

from stages.evaluation import nearest_rows
from stages.tables.features import Matrix

RECALL = 0.995  # of pairs at just the threshold; of nearer ones more
SAMPLE_ROWS = 1_000  # that are moved away
ROWS_PER_PASS = 32_768  # of those that are compared
ROWS_PER_BLOCK = 4_096  # compared with all leaders at a time


def find(train: Matrix, rows: Matrix, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest training row of every row that has one at a cosine of `threshold` or more, in nearly all cases.

    Args:
        train: (training rows, dim)
        rows: (rows, dim)

    Returns:
        Indices into `train`, int64, and cosines, float32: both (rows,). Those below the threshold may be of any
        training row.
    """
    leaders, cells, probes = _cells(train, threshold)
    if probes * 2 > leaders.shape[0]:  # then nothing is saved
        nearest, cosines = nearest_rows.find(train, rows, 1)
        return nearest.ravel(), cosines.ravel()
    members = np.argsort(cells, kind="stable")
    starts = np.searchsorted(cells[members], np.arange(leaders.shape[0] + 1))
    nearest, cosines = np.zeros(rows.shape[0], dtype=np.int64), np.full(rows.shape[0], -1, dtype=np.float32)
    for first in range(0, rows.shape[0], ROWS_PER_PASS):
        part = nearest_rows.unit(rows[first : first + ROWS_PER_PASS])
        visited = _nearest_leaders(
            part, leaders, probes
        ).ravel()  # probes cells of the first row, then of the second, …
        order = np.argsort(visited, kind="stable")
        ends = np.searchsorted(visited[order], np.arange(leaders.shape[0] + 1))
        for cell in range(leaders.shape[0]):
            inside = members[starts[cell] : starts[cell + 1]]
            guests = order[ends[cell] : ends[cell + 1]] // probes  # rows of the part
            if len(inside) and len(guests):
                product = _dense(part[guests] @ nearest_rows.unit(train[inside]).T)
                best = product.argmax(axis=1)
                cosine = product[np.arange(len(guests)), best]
                guests = guests + first
                is_nearer = cosine > cosines[guests]
                nearest[guests[is_nearer]] = inside[best[is_nearer]]
                cosines[guests[is_nearer]] = cosine[is_nearer]
    return nearest, np.minimum(cosines, 1)


def _cells(train: Matrix, threshold: float) -> tuple[Any, np.ndarray, int]:
    """Choose leaders, about as many as a cell has rows, and the cells that a row is compared with.

    Returns:
        Leaders, (leaders, dim) of length 1; the cell of every training row, (training rows,); the cells to compare.
    """
    generator, count = np.random.default_rng(0), train.shape[0]
    leaders = nearest_rows.unit(train[np.sort(generator.choice(count, max(int(count**0.5), 1), replace=False))])
    cells = _nearest_leaders(train, leaders, 1).ravel()
    rows, ones, others = (generator.integers(0, count, SAMPLE_ROWS) for _ in range(3))
    moved = _moved(_rows(train, rows), _rows(train, ones) - _rows(train, others), threshold)
    scores = _dense(moved @ leaders.T)  # (sample, leaders)
    own = scores[np.arange(SAMPLE_ROWS), cells[rows]][:, None]
    nearer = (scores > own).sum(axis=1)  # leaders that are nearer to the moved row than that of its own cell
    return leaders, cells, int(np.quantile(nearer, RECALL, method="higher")) + 1


def _moved(rows: np.ndarray, directions: np.ndarray, cosine: float) -> np.ndarray:
    """Move every row, of length 1, away to this cosine: (rows, dim).

    Args:
        rows: (rows, dim)
        directions: (rows, dim), where to; their part along the row does not count.
    """
    away = directions - (directions * rows).sum(axis=1, keepdims=True) * rows
    return np.asarray(cosine * rows + (1 - cosine**2) ** 0.5 * nearest_rows.unit(away))


def _rows(train: Matrix, chosen: np.ndarray) -> np.ndarray:
    """Give these rows, scaled to length 1, as an array."""
    return _dense(nearest_rows.unit(train[chosen]))


def _nearest_leaders(rows: Matrix, leaders: Any, count: int) -> np.ndarray:
    """Find the `count` leaders that are nearest to every row, in no order: (rows, count) int32."""
    nearest = np.empty((rows.shape[0], count), dtype=np.int32)
    for first in range(0, rows.shape[0], ROWS_PER_BLOCK):
        scores = -_dense(rows[first : first + ROWS_PER_BLOCK] @ leaders.T)
        nearest[first : first + ROWS_PER_BLOCK] = np.argpartition(scores, count - 1, axis=1)[:, :count]
    return nearest


def _dense(product: Any) -> np.ndarray:
    """Return a product of two matrices as an array."""
    return np.asarray(product.toarray() if sparse.issparse(product) else product)
