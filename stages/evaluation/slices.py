"""Metrics of parts of the test rows: rows that share a value of `prepare.slice`, or of `prepare.group`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.common.params import EvaluateParams
from stages.scores import metrics, proportions
from stages.tables import prepared
from stages.tables.features import Features

if TYPE_CHECKING:
    import pandas as pd

MAX_SLICES = 50  # the largest slices get metrics, where there are more


def names(prepared_folder: Path, ids: np.ndarray) -> "pd.Series[str]":
    """Look up the slice of every test row, or its group where the table has no slices.

    Returns:
        The names in the order of `ids`, (rows,), with id as index; missing where a row has none.
    """
    table = prepared.slices(prepared_folder)
    column = "group" if table["slice"].null_count == len(table) else "slice"
    return table.to_pandas().set_index("id")[column].reindex(ids)


def metrics_by_slice(
    slices: "pd.Series[str]", truth: np.ndarray, P: np.ndarray, settings: EvaluateParams
) -> list[dict[str, Any]]:
    """Compute rows, accuracy with its 95 % interval, and macro F1 of every slice, the largest first.

    Args:
        slices: (rows,) names, as `names` returns them.
        truth: (rows,) label indices.
        P: (rows, labels) probabilities.
    """
    rows = slices.groupby(slices).indices
    largest = sorted(rows, key=lambda name: (-len(rows[name]), name))[:MAX_SLICES]
    return [_metrics(name, truth[rows[name]], P[rows[name]], settings) for name in largest]


def metrics_of_long_texts(
    rows: Features, truth: np.ndarray, P: np.ndarray, settings: EvaluateParams
) -> list[dict[str, Any]]:
    """Compute the same of the texts with more tokens than the backbone reads at a time; empty where there are none.

    Args:
        rows: the test rows; `truth` and `P` are in their order.
    """
    if rows.is_long is None or not rows.is_long.any():
        return []
    name = f"longer than {rows.metadata.max_length:,} tokens{', cut' if rows.cut_rows else ''}"
    return [_metrics(name, truth[rows.is_long], P[rows.is_long], settings)]


def _metrics(name: str, truth: np.ndarray, P: np.ndarray, settings: EvaluateParams) -> dict[str, Any]:
    """Compute the metrics of the rows of one slice."""
    hits = int((P.argmax(axis=1) == truth).sum())
    interval = proportions.interval(hits, len(truth)) if settings.bootstrap else ()
    headline = metrics.headline(truth, P)
    return {
        "slice": name,
        "rows": len(truth),
        "accuracy": headline["accuracy"],
        **dict(zip(("low", "high"), interval, strict=False)),
        "macro_f1": headline["macro_f1"],
    }
