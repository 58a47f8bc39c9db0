"""The columns that `evaluate` and `predict` write for each row: the label, how sure, and every probability."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def columns(P: np.ndarray, labels: Sequence[str]) -> dict[str, pa.Array]:
    """`predicted`, `confidence` and one `p_LABEL` for each label.

    Args:
        P: (rows, labels) probabilities; a row of NaN, which nothing could be predicted for, becomes nulls.
    """
    missing = np.isnan(P).any(axis=1)
    best = np.where(missing, 0, np.nan_to_num(P).argmax(axis=1))
    confidence = P[np.arange(len(P)), best]
    return {
        "predicted": pa.array(np.asarray(labels, dtype=object)[best], pa.string(), mask=missing),
        "confidence": pa.array(confidence.astype(np.float32), mask=missing),
        **{f"p_{label}": pa.array(P[:, k].astype(np.float32), mask=missing) for k, label in enumerate(labels)},
    }
