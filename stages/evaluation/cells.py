"""The nearest training rows of many rows, without comparing all pairs: an inverted file (Sivic and Zisserman 2003).

Some training rows, drawn by chance, lead cells: every training row belongs to its nearest leader. A row is compared
only with the cells of the leaders that are nearest to it. How many these must be depends on the features and on the
cosine that counts. So it is measured, on training rows that are moved away to just that cosine, in the directions in
which rows of this table differ. Where features tell rows apart, it is few.

Leaders are compared by short vectors (`cosine_bounds`), and so are the rows of a cell at first: in full only where
these do not rule out that one is near enough, and nearer than those of the cells before.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise, repeat
from typing import Any

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from stages.common import threads
from stages.evaluation import cosine_bounds
from stages.scores import nearest_rows
from stages.tables.features import Matrix

RECALL = 0.998  # of pairs at just the threshold; of nearer ones more
CELLS_PER_ROOT = 4  # times the root of the training rows: the more cells, the fewer rows are compared
SAMPLE_ROWS = 10_000  # that are moved away; of a tenth, such a quantile is off by up to a half
MAX_ROWS_PER_PASS = 8_192  # of those that are compared, by one thread
ROWS_PER_BLOCK = 1_024  # compared with all leaders at a time
COSINES_PER_BLOCK = 2**18  # in memory at a time, by one thread: they stay in the processor's cache


def find(train: Matrix, rows: Matrix, threshold: float, *, visit_all: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest training row of every row that has one at a cosine of `threshold` or more, in nearly all cases.

    Args:
        train: (training rows, dim)
        rows: (rows, dim)
        visit_all: compare with all training rows, for all cases.

    Returns:
        Indices into `train`, int64, and cosines, float32: both (rows,). Rows without a training row so near have
        0 and -1.
    """
    with threadpool_limits(1):  # passes run side by side
        cells = _divided(train, threshold, visit_all=visit_all)

        def run(first: int) -> tuple[np.ndarray, np.ndarray]:
            return _search(cells, nearest_rows.unit(rows[first : first + size]), threshold)

        # An even number of passes of like size: two cores end together, and other numbers of them compute the same.
        size = -(-rows.shape[0] // (2 * -(-rows.shape[0] // (2 * MAX_ROWS_PER_PASS))))
        passes = range(0, rows.shape[0], size)
        parts = list(threads.ordered(run, passes, workers=threads.cores()))
    nearest, cosines = (np.concatenate(values) for values in zip(*parts, strict=True))
    return nearest, np.minimum(cosines, 1)


@dataclass(frozen=True)
class _Cells:
    """Training rows, and their division into cells.

    Attributes:
        members: (training rows,) indices of training rows, those of the first cell first.
        starts: (cells + 1,) where the members of a cell start and end.
        shortened: makes short vectors of rows of length 1, (rows, axes).
        short: (training rows, axes) short vectors of the members.
        leaders: (cells, axes) short vectors of the leaders; None for cells that are all visited.
        probes: how many cells a row is compared with.
    """

    train: Matrix
    members: np.ndarray
    starts: np.ndarray
    shortened: Callable[[Any], Any]
    short: Any
    leaders: Any
    probes: int

    def guests(self, short: Any) -> Iterator[np.ndarray]:
        """Yield for every cell the indices of the rows that are compared with it; `short`: (rows, axes)."""
        if self.leaders is None:
            yield from repeat(np.arange(short.shape[0]), len(self.starts) - 1)
            return
        visited = _nearest_leaders(short, self.leaders, self.probes).ravel()  # of the first row, then of the second, …
        order = np.argsort(visited, kind="stable")
        for start, end in pairwise(_starts(visited[order], len(self.starts) - 1)):
            yield order[start:end] // self.probes


def _divided(train: Matrix, threshold: float, *, visit_all: bool) -> _Cells:
    """Divide the training rows into cells."""
    count = train.shape[0]
    cells = min(int((1 if visit_all else CELLS_PER_ROOT) * count**0.5), count)
    shortened = cosine_bounds.shortener(train, threshold, count // cells)
    leaders, cell_of_row, probes = None, np.arange(count) * cells // count, cells
    if not visit_all:
        leaders, cell_of_row, probes = _led(train, threshold, shortened, cells)
    members = np.argsort(cell_of_row, kind="stable")
    short = _in_blocks(lambda part: shortened(nearest_rows.unit(train[part])), members)
    return _Cells(train, members, _starts(cell_of_row[members], cells), shortened, short, leaders, probes)


def _search(cells: _Cells, rows: Any, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest training rows of the cells that a row is compared with, as `find` does.

    Args:
        rows: (rows, dim) of length 1.
    """
    nearest, cosines = np.zeros(rows.shape[0], dtype=np.int64), np.full(rows.shape[0], -1, dtype=np.float32)
    short = cells.shortened(rows)
    buffer = np.empty(max(COSINES_PER_BLOCK, int(np.diff(cells.starts).max())), dtype=np.float32)

    def compare(members: slice, guests: np.ndarray) -> None:
        """Note the members of a cell that are the nearest of these rows up to here."""
        bounds = _product(_taken(short, guests), cells.short[members], buffer)
        least = np.maximum(cosines[guests], threshold) - cosine_bounds.MARGIN
        near = np.flatnonzero(bounds.max(axis=1) >= least)
        if not len(near):
            return
        inside = cells.members[members][(bounds[near] >= least[near, None]).any(axis=0)]
        guests = guests[near]
        product = _product(rows[guests], nearest_rows.unit(cells.train[inside]), buffer)
        best = product.argmax(axis=1)
        cosine = product[np.arange(len(guests)), best]
        is_nearer = (cosine > cosines[guests]) & (cosine >= threshold)
        nearest[guests[is_nearer]] = inside[best[is_nearer]]
        cosines[guests[is_nearer]] = cosine[is_nearer]

    for (start, end), guests in zip(pairwise(cells.starts), cells.guests(short), strict=True):
        step = max(COSINES_PER_BLOCK // max(end - start, 1), 1)
        for first in range(0, len(guests) if end > start else 0, step):
            compare(slice(start, end), guests[first : first + step])
    return nearest, cosines


def _taken(rows: Any, ascending: np.ndarray) -> Any:
    """Give the rows of these indices, without a copy where none between them is left out."""
    first, end = int(ascending[0]), int(ascending[-1]) + 1
    return rows[first:end] if end - first == len(ascending) else rows[ascending]


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


def _led(train: Matrix, threshold: float, shortened: Callable[[Any], Any], count: int) -> tuple[Any, np.ndarray, int]:
    """Choose `count` leaders.

    Returns:
        Their short vectors, (leaders, axes); the cell of every training row, (training rows,); and with how many cells
        a row has to be compared.
    """
    generator = np.random.default_rng(0)
    chosen = np.sort(generator.choice(train.shape[0], count, replace=False))
    leaders = shortened(nearest_rows.unit(train[chosen]))
    cells: np.ndarray = _in_blocks(
        lambda part: _nearest_leaders(shortened(nearest_rows.unit(train[part])), leaders, 1), np.arange(train.shape[0])
    ).ravel()
    rows, ones, others = (generator.integers(0, train.shape[0], SAMPLE_ROWS) for _ in range(3))

    def nearer(part: np.ndarray) -> np.ndarray:
        """Count the leaders that are nearer to a moved row than that of its own cell: (part, 1)."""
        directions = _rows(train, ones[part]) - _rows(train, others[part])
        scores = _dense(shortened(_moved(_rows(train, rows[part]), directions, threshold)) @ leaders.T)
        own = scores[np.arange(len(part)), cells[rows[part]]][:, None]
        return np.asarray((scores > own).sum(axis=1, keepdims=True))

    counts = _in_blocks(nearer, np.arange(SAMPLE_ROWS))
    return leaders, cells, int(np.quantile(counts, RECALL, method="higher")) + 1


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


def _nearest_leaders(short: Any, leaders: Any, count: int) -> np.ndarray:
    """Find the `count` leaders that are nearest to every row, in no order: (rows, count) of the smallest type."""
    nearest = np.empty((short.shape[0], count), dtype=np.min_scalar_type(leaders.shape[0]))  # two bytes sort fast
    for first in range(0, short.shape[0], ROWS_PER_BLOCK):
        scores = _dense(short[first : first + ROWS_PER_BLOCK] @ leaders.T)
        if count == 1:  # much faster
            columns = scores.argmax(axis=1, keepdims=True)
        else:
            columns = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        nearest[first : first + ROWS_PER_BLOCK] = columns
    return nearest


def _dense(product: Any) -> np.ndarray:
    """Return a product of two matrices as an array."""
    return np.asarray(product.toarray() if sparse.issparse(product) else product)
