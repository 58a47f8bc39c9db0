"""Learn from the labels while they come: the head for guesses, its accuracy on validation rows, and suggestions.

All of it uses vectors that extract made, so a head takes well under a second for 10,000 rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from stages.heads import choosing as heads
from stages.heads.head import Head
from stages.labelling.snapshot import Vectors
from stages.scores import proportions
from stages.suggestion import choosing
from stages.tables.features import Features, Matrix

BATCH_ROWS = 20  # suggested at a time
MAX_POINTS = 40  # of the curve, for which the heads are kept
MAX_TRAIN_ROWS = 20_000  # of a fit: beyond, a random part, for speed


@dataclass(frozen=True)
class Point:
    """Accuracy of one head on the validation rows that there are now."""

    labels: int  # training rows
    accuracy: float


@dataclass(frozen=True)
class Accuracy:
    """The last point, with its 95 % interval, and the curve that leads there."""

    rows: int  # validation rows
    low: float
    high: float
    points: tuple[Point, ...]


class Learner:
    """Heads so far; fitted by one thread, asked by others."""

    def __init__(self) -> None:
        self._now: tuple[str, Head] | None = (
            None  # fingerprint of the vectors that the head was fitted on, and the head
        )
        self._fingerprint = ""  # of the vectors that all heads were fitted on
        self._heads: list[tuple[int, Head]] = []  # training rows, and the head

    def fit(self, vectors: Vectors, labels: Mapping[str, tuple[str, str]]) -> Accuracy | None:
        """Fit the head anew, and judge all heads on the validation rows of today, so that they can be compared.

        Args:
            vectors: of the tables.
            labels: label and split of unlabelled rows, by id.

        Returns:
            None where there is no head, for lack of two classes, or no validation row.
        """
        fingerprint = vectors.unlabelled.metadata.fingerprint
        if fingerprint != self._fingerprint:
            self._fingerprint, self._heads = fingerprint, []
        X, y = rows_of(vectors, labels, "train")
        if len(set(y)) < 2:
            self._now = None
            return None
        count = len(y)
        sample = np.sort(np.random.default_rng(0).permutation(count)[:MAX_TRAIN_ROWS])
        head, _ = heads.logistic_head(X[sample], y[sample], heads.DEFAULT_C)
        self._now = fingerprint, head
        self._heads = [*(past for past in self._heads if past[0] < count), (count, head)]
        if len(self._heads) > MAX_POINTS:
            del self._heads[1::2]  # the last one stays, as their number is odd
        return self._accuracy(*rows_of(vectors, labels, "validation"))

    def _accuracy(self, X: Matrix, y: np.ndarray) -> Accuracy | None:
        if not len(y):
            return None
        points = []
        for count, head in self._heads:
            guesses = np.array(head.labels, dtype=object)[head.scores(X).argmax(axis=1)]
            points.append(Point(count, float((guesses == y).mean())))
        low, high = proportions.interval(points[-1].accuracy * len(y), len(y))
        return Accuracy(len(y), low, high, tuple(points))

    def suggest(self, vectors: Vectors, labels: Mapping[str, tuple[str, str]], candidates: Sequence[str]) -> list[str]:
        """Choose unlabelled rows that are worth labelling next, best first; `candidates`: their ids."""
        ids = [row_id for row_id in candidates if row_id in vectors.row_of]
        if not ids:
            return []
        X = vectors.unlabelled.X[[vectors.row_of[row_id] for row_id in ids]]
        train, validation, test = (rows_of(vectors, labels, split)[0] for split in ("train", "validation", "test"))
        head = self._now[1] if self._now else None
        margins = head.task.margins(head.outputs(X)) if head else None
        batch = choosing.choose(X, train, margins, BATCH_ROWS, judged=[validation, test])
        return [ids[row] for row in batch.rows]

    def guess(self, vectors: Vectors, row_id: str) -> list[tuple[str, float]]:
        """Give the labels with their probabilities for a row, the likeliest first; none without head or vector."""
        now, row = self._now, vectors.row_of.get(row_id)
        if now is None or row is None or now[0] != vectors.unlabelled.metadata.fingerprint:
            return []
        head = now[1]
        shares = head.probabilities(vectors.unlabelled.X[row : row + 1])[0]
        return [(head.labels[label], float(shares[label])) for label in np.argsort(-shares, kind="stable")]


def rows_of(vectors: Vectors, labels: Mapping[str, tuple[str, str]], split: str) -> tuple[Matrix, np.ndarray]:
    """Join the rows of a split, those of the tables and those labelled since: (rows, dim) and (rows,) labels."""
    old: Features = vectors.labelled[split]
    new = [row_id for row_id, (_, its_split) in labels.items() if its_split == split and row_id in vectors.row_of]
    if not new:
        return old.X, old.labels.astype(str).astype(object)
    X = vectors.unlabelled.X[[vectors.row_of[row_id] for row_id in new]]
    y = np.array([labels[row_id][0] for row_id in new], dtype=object)
    is_sparse = sparse.issparse(X)
    joined = sparse.vstack([old.X, X], format="csr") if is_sparse else np.concatenate([old.X, X])
    return joined, np.concatenate([old.labels.astype(str).astype(object), y])
