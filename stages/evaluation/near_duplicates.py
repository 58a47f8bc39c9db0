"""Test rows whose features are nearly those of a training row: a score on them says little about new rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import sparse

from stages.tables.features import Features, Matrix

COSINES_PER_BLOCK = 2**24  # cosines held at a time


@dataclass(frozen=True)
class Pair:
    """A test row and the training row nearest to it, as indices, and their cosine."""

    test: int
    train: int
    cosine: float


def find(train: Matrix, test: Matrix, threshold: float) -> list[Pair]:
    """Each test row with a training row whose cosine is `threshold` or more, nearest pairs first.

    Compares all pairs, a block of test rows at a time: time grows with rows x rows, memory with the training rows.

    Args:
        train: (training rows, dim)
        test: (test rows, dim)
    """
    if not train.shape[0]:
        return []
    transposed = _unit(train).T
    unit = _unit(test)
    step = max(1, COSINES_PER_BLOCK // train.shape[0])
    pairs = []
    for start in range(0, test.shape[0], step):
        cosines: Any = unit[start : start + step] @ transposed
        block = cosines.toarray() if sparse.issparse(cosines) else cosines  # (step, training rows)
        nearest = block.argmax(axis=1)
        highest = block[np.arange(len(block)), nearest]
        pairs += [
            Pair(int(start + row), int(nearest[row]), min(float(highest[row]), 1.0))
            for row in np.flatnonzero(highest >= threshold)
        ]
    return sorted(pairs, key=lambda pair: (-pair.cosine, pair.test))


def table(pairs: Sequence[Pair], train: Features, test: Features) -> pa.Table:
    """The pairs with ids and labels."""
    return pa.table(
        {
            "id": pa.array([test.ids[pair.test] for pair in pairs], pa.string()),
            "label": pa.array([test.labels[pair.test] for pair in pairs], pa.string()),
            "train_id": pa.array([train.ids[pair.train] for pair in pairs], pa.string()),
            "train_label": pa.array([train.labels[pair.train] for pair in pairs], pa.string()),
            "cosine": pa.array([pair.cosine for pair in pairs], pa.float32()),
        }
    )


def _unit(X: Any) -> Any:
    """The rows at length 1; rows of zeros, which are near to nothing, as they are."""
    if sparse.issparse(X):
        norms = np.sqrt(np.asarray(X.multiply(X).sum(axis=1)).ravel())
        return sparse.diags(1 / np.where(norms > 0, norms, 1)).astype(np.float32) @ X
    norms = np.linalg.norm(X, axis=1, keepdims=True)
    return X / np.where(norms > 0, norms, 1)
