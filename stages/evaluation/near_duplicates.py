"""Test rows whose features are nearly those of a training row: a score on them says little about new rows."""

from typing import TYPE_CHECKING

import numpy as np

from stages.evaluation import cells
from stages.scores import nearest_rows
from stages.tables.features import Features, Matrix

if TYPE_CHECKING:
    import pandas as pd

MAX_FULL_PAIRS = 10**8  # of a test and a training row; of more, bounds of their cosines rule most of them out
MAX_EXACT_PAIRS = 2 * 10**9  # of more, only those of near cells are looked at


def find(train: Matrix, test: Matrix, threshold: float) -> "pd.DataFrame":
    """Pair every test row with its nearest training row, and keep the pairs at a cosine of `threshold` or more.

    Up to `MAX_EXACT_PAIRS` all of them are found, past it at least 99 %.

    Args:
        train: (training rows, dim)
        test: (test rows, dim)

    Returns:
        Columns test and train, the indices of both rows, and cosine; the nearest pairs first.
    """
    import pandas as pd

    count = train.shape[0] * test.shape[0]
    if count > MAX_FULL_PAIRS:
        nearest, cosines = cells.find(train, test, threshold, visit_all=count <= MAX_EXACT_PAIRS)
    else:
        nearest, cosines = (
            values.ravel() for values in nearest_rows.find(train, test, 1)
        )  # none without training rows
    rows = np.flatnonzero(cosines >= threshold)
    pairs = pd.DataFrame({"test": rows, "train": nearest[rows], "cosine": cosines[rows].astype(np.float64)})
    return pairs.sort_values(["cosine", "test"], ascending=[False, True], ignore_index=True)


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
