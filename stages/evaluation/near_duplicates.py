"""Test rows whose features are nearly those of a training row: a score on them says little about new rows."""

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from stages.tables.features import Features, Matrix

if TYPE_CHECKING:
    import pandas as pd

COSINES_PER_BLOCK = 2**24  # cosines held at a time


def find(train: Matrix, test: Matrix, threshold: float) -> "pd.DataFrame":
    """Pair every test row with its nearest training row, and keep the pairs at a cosine of `threshold` or more.

    Compares all pairs, a block of test rows at a time: time grows with training rows x test rows, memory with the
    training rows. On 100,000 x 10,000 rows, scikit-learn's pairwise_distances_argmin_min takes 2 to 4 times as long and
    over 1 GB more to find the same rows (tests/benchmarks/near_duplicates.py).

    Args:
        train: (training rows, dim)
        test: (test rows, dim)

    Returns:
        Columns test and train, the indices of both rows, and cosine; the nearest pairs first.
    """
    import pandas as pd

    unit, transposed = _unit(test), _unit(train).T
    test_rows = test.shape[0] if train.shape[0] else 0
    step = max(1, COSINES_PER_BLOCK // max(train.shape[0], 1))
    nearest, highest = np.zeros(test_rows, dtype=np.int64), np.zeros(test_rows, dtype=np.float32)
    for start in range(0, test_rows, step):
        product: Any = unit[start : start + step] @ transposed
        cosines = product.toarray() if sparse.issparse(product) else product  # (step, training rows)
        block = slice(start, start + len(cosines))
        nearest[block] = cosines.argmax(axis=1)
        highest[block] = cosines[np.arange(len(cosines)), nearest[block]]
    cosine = np.minimum(highest, 1).astype(np.float64)
    pairs = pd.DataFrame({"test": np.arange(test_rows), "train": nearest, "cosine": cosine})
    return pairs[highest >= threshold].sort_values(["cosine", "test"], ascending=[False, True], ignore_index=True)


def table(pairs: "pd.DataFrame", train: Features, test: Features) -> "pd.DataFrame":
    """Name the rows of the pairs that `find` returns: columns id, label, train_id, train_label, cosine."""
    import pandas as pd

    return pd.DataFrame(
        {
            "id": test.ids[pairs["test"]],
            "label": test.labels[pairs["test"]],
            "train_id": train.ids[pairs["train"]],
            "train_label": train.labels[pairs["train"]],
            "cosine": pairs["cosine"],
        }
    )


def _unit(X: Any) -> Any:
    """Scale the rows to length 1; rows of zeros, whose cosines are all 0, stay as they are."""
    if sparse.issparse(X):
        norms = np.sqrt(np.asarray(X.multiply(X).sum(axis=1)).ravel())
        return sparse.diags(1 / np.where(norms > 0, norms, 1)).astype(np.float32) @ X
    norms = np.linalg.norm(X, axis=1, keepdims=True)
    return X / np.where(norms > 0, norms, 1)
