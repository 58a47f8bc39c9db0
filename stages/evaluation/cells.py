"""The nearest training rows of many rows, without comparing all pairs: an inverted file (Sivic and Zisserman 2003).

Some training rows, drawn by chance, lead cells: every training row belongs to its nearest leader. A row is compared
only with the cells of the leaders that are nearest to it. How many these must be depends on the features and on the
cosine that counts. So it is measured, on training rows that are moved away to just that cosine, in the directions in
which rows of this table differ. Where features tell rows apart, it is a few of sqrt(training rows) cells.

With a cell, a row is first compared by short vectors (`cosine_bounds`), and in full only where these do not rule out
that a row of the cell is near enough, and nearer than those of the cells before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from stages.common import threads
from stages.evaluation import cosine_bounds, nearest_rows
from stages.tables.features import Matrix

RECALL = 0.995  # of pairs at just the threshold; of nearer ones more
SAMPLE_ROWS = 1_000  # that are moved away
ROWS_PER_PASS = 8_192  # of those that are compared, by one thread
ROWS_PER_BLOCK = 4_096  # compared with all leaders at a time
COSINES_PER_BLOCK = 2**20  # in memory at a time, by one thread


def find(train: Matrix, rows: Matrix, threshold: float, *, visit_all: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest training row of every row that has one at a cosine of `threshold` or more, in nearly all cases.

    Args:
        train: (training rows, dim)
        rows: (rows, dim)
        visit_all: compare with all cells, for all cases.

    Returns:
        Indices into `train`, int64, and cosines, float32: both (rows,). Rows without a training row so near have
        0 and -1.
    """
    with threadpool_limits(1):  # passes run side by side
        leaders, cell_of_row, probes = _cells(train, threshold)
        if visit_all:
            probes = leaders.shape[0]
        shortened = cosine_bounds.shortener(train, threshold, train.shape[0] // leaders.shape[0])
        members = np.argsort(cell_of_row, kind="stable")
        short = _in_blocks(lambda part: shortened(nearest_rows.unit(train[part])), members)
        cells = _Cells(train, leaders, members, short, _starts(cell_of_row[members], leaders.shape[0]))

        def run(first: int) -> tuple[np.ndarray, np.ndarray]:
            part = nearest_rows.unit(rows[first : first + ROWS_PER_PASS])
            return _search(cells, part, shortened(part), probes, threshold)

        passes = range(0, rows.shape[0], ROWS_PER_PASS)
        parts = list(threads.ordered(run, passes, workers=threads.cores()))
    nearest, cosines = (np.concatenate(values) for values in zip(*parts, strict=True))
    return nearest, np.minimum(cosines, 1)


@dataclass(frozen=True)
class _Cells:
    """Training rows, and their division into cells.

    Attributes:
        leaders: (cells, dim) of length 1.
        members: (training rows,) indices of training rows, those of the first cell first.
        short: (training rows, axes) short vectors of the members.
        starts: (cells + 1,) where the members of a cell start and end.
    """

    train: Matrix
    leaders: Any
    members: np.ndarray
    short: Any
    starts: np.ndarray


def _search(cells: _Cells, rows: Any, short: Any, probes: int, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest members of the `probes` nearest cells of every row, as `find` does.

    Args:
        rows: (rows, dim) of length 1.
        short: (rows, axes) their short vectors.
    """
    nearest, cosines = np.zeros(rows.shape[0], dtype=np.int64), np.full(rows.shape[0], -1, dtype=np.float32)
    visited = _nearest_leaders(rows, cells.leaders, probes).ravel()  # those of the first row, then of the second, …
    order = np.argsort(visited, kind="stable")
    ends = _starts(visited[order], cells.leaders.shape[0])
    buffer = np.empty(max(COSINES_PER_BLOCK, int(np.diff(cells.starts).max())), dtype=np.float32)

    def compare(members: slice, guests: np.ndarray) -> None:
        """Note the members of a cell that are the nearest of these rows up to here."""
        bounds = _product(short[guests], cells.short[members], buffer).max(axis=1)
        guests = guests[bounds >= np.maximum(cosines[guests], threshold) - cosine_bounds.MARGIN]
        if not len(guests):
            return
        inside = cells.members[members]
        product = _product(rows[guests], nearest_rows.unit(cells.train[inside]), buffer)
        best = product.argmax(axis=1)
        cosine = product[np.arange(len(guests)), best]
        is_nearer = (cosine > cosines[guests]) & (cosine >= threshold)
        nearest[guests[is_nearer]] = inside[best[is_nearer]]
        cosines[guests[is_nearer]] = cosine[is_nearer]

    for cell, (start, end) in enumerate(pairwise(cells.starts)):
        guests = order[ends[cell] : ends[cell + 1]] // probes
        step = max(COSINES_PER_BLOCK // max(end - start, 1), 1)
        for first in range(0, len(guests) if end > start else 0, step):
            compare(slice(start, end), guests[first : first + step])
    return nearest, cosines


def _product(A: Any, B: Any, buffer: np.ndarray) -> np.ndarray:
    """Multiply A with B transposed, in the memory of `buffer` unless they are sparse: new memory costs as much time."""
    if sparse.issparse(A):
        return _dense(A @ B.T)
    return np.matmul(A, B.T, out=buffer[: len(A) * len(B)].reshape(len(A), len(B)))


def _starts(sorted_cells: np.ndarray, count: int) -> np.ndarray:
    """Tell where every one of `count` cells starts, and where the last one ends: (count + 1,)."""
    return np.searchsorted(sorted_cells, np.arange(count + 1))


def _in_blocks(function: Callable[[np.ndarray], Any], rows: np.ndarray) -> Any:
    """Compute rows of a matrix from `ROWS_PER_BLOCK` indices at a time, so that little else is in memory."""
    starts = range(0, len(rows), ROWS_PER_BLOCK)
    parts = (function(rows[start : start + ROWS_PER_BLOCK]) for start in starts)
    first = next(parts)
    if sparse.issparse(first):
        return sparse.vstack([first, *parts], format="csr")
    matrix = np.empty((len(rows), first.shape[1]), dtype=first.dtype)
    for start, part in zip(starts, chain([first], parts), strict=True):
        matrix[start : start + len(part)] = part
    return matrix


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
