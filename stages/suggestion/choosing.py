"""Choose the rows that are worth labelling next: those that are like many rows of which the head is unsure.

A row is worth 1 - margin, where the margin is that of the head's task, such as the difference of the two highest
probabilities; without a head, all are worth the same. A labelled or chosen row covers others by a kernel of their
distance. Greedily, the row comes next that covers most of the worth that is not covered yet (facility location; Wei,
Iyer & Bilmes 2015, Submodularity in Data Subset Selection and Active Learning). So a batch is spread out, keeps away
from labelled rows, and holds typical rows before there are labels.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from stages.tables.features import Matrix

MIN_CANDIDATES = 2_000  # of the highest worth
CANDIDATES_PER_ROW = 10  # of a batch
MAX_COSINE = 0.98  # of two rows of a batch, or of one and a labelled row: from here, one is a copy of the other
# The kernel falls to 1/e at half the median squared distance to the 10th neighbour, of so many rows among so many.
WIDTH_NEIGHBOR, WIDTH_SAMPLE_ROWS, WIDTH_ROWS = 10, 300, 10_000
BLOCK_ROWS = 512  # compared with all candidates at a time


@dataclass(frozen=True)
class Batch:
    """The chosen rows, best first."""

    rows: np.ndarray  # (chosen,) indices
    stands_for: (
        np.ndarray
    )  # (chosen,) other candidates that are nearer to this row than to other chosen or labelled ones


def choose(X: Matrix, train: Matrix, margins: np.ndarray | None, count: int, *, judged: Sequence[Matrix] = ()) -> Batch:
    """Choose rows.

    Args:
        X: (rows, dim) vectors of unlabelled rows.
        train: (training rows, dim)
        margins: (rows,) how far from undecided the head is, 0 to 1; None without a head.
        count: of rows to choose; fewer are chosen where all others are copies.
        judged: vectors of rows that are validated or tested on, of which no copy is to be trained on.
    """
    rows = X.shape[0]
    worth = np.ones(rows) if margins is None else 1 - margins
    order = np.lexsort((np.random.default_rng(0).permutation(rows), -worth))  # of the same worth: in no order
    number = max(MIN_CANDIDATES, CANDIDATES_PER_ROW * count)
    with threadpool_limits(1):  # the same sums on every run
        width = _kernel_width(X)
        while True:
            candidates = np.sort(order[:number])
            cover = _Cover(normalize(X[candidates]), worth[candidates], width)
            cover.begin(train, judged)
            chosen = cover.greedy(count)
            if len(chosen) == count or number >= rows:
                break
            number *= 2  # too many of them are copies
    owners = cover.owners[cover.owners >= 0]
    return Batch(candidates[chosen], np.bincount(owners, minlength=len(chosen)) - 1)


class _Cover:
    """How far the candidates are covered by labelled and chosen rows."""

    def __init__(self, Z: Matrix, worth: np.ndarray, width: float) -> None:
        """Begin without labelled rows.

        Args:
            Z: (candidates, dim) of length 1.
            worth: (candidates,)
            width: squared distance at which the kernel is 1/e.
        """
        self._Z, self._worth, self._width = Z, worth.astype(np.float32), np.float32(width)
        self._covered = np.zeros(len(worth), dtype=np.float32)
        self._is_copy = np.zeros(len(worth), dtype=bool)
        self.owners = np.full(
            len(worth), -1
        )  # (candidates,) position of the nearest chosen row; -1: a labelled one is nearer

    def begin(self, train: Matrix, judged: Sequence[Matrix]) -> None:
        """Let training rows cover the candidates, and leave out copies of labelled rows."""
        for part in (train, *judged):
            for start in range(0, part.shape[0], BLOCK_ROWS):
                cosines = _cosines(normalize(part[start : start + BLOCK_ROWS]), self._Z).max(axis=0)
                self._is_copy |= cosines >= MAX_COSINE
                if part is train:
                    self._covered = np.maximum(self._covered, self._kernel(cosines))

    def greedy(self, count: int) -> list[int]:
        """Choose candidates, the one that adds most first.

        What a row adds only falls as others are chosen. So only the highest of the former values are computed anew
        (Minoux 1978, Accelerated Greedy Algorithms for Maximizing Submodular Set Functions).
        """
        starts = range(0, self._Z.shape[0], BLOCK_ROWS)
        blocks = (self._gains(_cosines(self._Z[start : start + BLOCK_ROWS], self._Z)) for start in starts)
        queue = [(-gain, row) for row, gain in enumerate(np.concatenate([*blocks]).tolist())]
        heapq.heapify(queue)
        chosen: list[int] = []
        while queue and len(chosen) < count:
            _, row = heapq.heappop(queue)
            if self._is_copy[row]:
                continue
            cosines = _cosines(self._Z[row : row + 1], self._Z)
            gain = float(self._gains(cosines)[0])
            if queue and gain < -queue[0][0]:
                heapq.heappush(queue, (-gain, row))
                continue
            self._take(row, cosines[0], position=len(chosen))
            chosen.append(row)
        return chosen

    def _take(self, row: int, cosines: np.ndarray, *, position: int) -> None:
        """Let a chosen candidate cover the others, whose cosines with it are given."""
        kernel = self._kernel(cosines)
        self.owners[kernel > self._covered] = position
        self.owners[row] = position
        self._covered = np.maximum(self._covered, kernel)
        self._is_copy |= cosines >= MAX_COSINE

    def _gains(self, cosines: np.ndarray) -> np.ndarray:
        """Return the worth that rows would cover beside what is covered: (rows,). `cosines`: (rows, candidates)."""
        return np.asarray(np.maximum(self._kernel(cosines) - self._covered, 0) @ self._worth)

    def _kernel(self, cosines: np.ndarray) -> np.ndarray:
        """Return how far rows cover others, 0 to 1; the squared distance of two rows of length 1 is 2 - 2 cosine."""
        return np.asarray(np.exp((2 * cosines - 2) / self._width))


def _kernel_width(X: Matrix) -> float:
    """Return half the median squared distance of a row to its 10th neighbour, from a sample."""
    rows = normalize(X[:: -(-X.shape[0] // WIDTH_ROWS)])
    cosines = _cosines(rows[:: -(-rows.shape[0] // WIDTH_SAMPLE_ROWS)], rows)
    neighbor = min(WIDTH_NEIGHBOR, rows.shape[0] - 1)  # the nearest is the row itself
    nearest = np.partition(cosines, -1 - neighbor, axis=1)[:, -1 - neighbor]
    return max(float(np.median(1 - nearest)), 1e-6)


def _cosines(rows: Matrix, others: Matrix) -> np.ndarray:
    """Return the cosines of rows of length 1: (rows, other rows)."""
    products: Any = rows @ others.T
    return np.asarray(products.toarray() if sparse.issparse(products) else products)
