"""Metrics of parts of the judged rows: rows that share a value of `prepare.slice`, or of `prepare.group`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from stages.common.params import EvaluateParams
from stages.scores import metrics, proportions
from stages.tables import prepared
from stages.tables.features import Features

if TYPE_CHECKING:
    import pandas as pd

MAX_SLICES = 50  # the largest slices get metrics, where there are more


def names(prepared_folder: Path, ids: np.ndarray, splits: Sequence[str] = ("test",)) -> "pd.Series[str]":
    """Look up the slice of every row, or its group where the table has no slices.

    Args:
        splits: those that the rows are of.

    Returns:
        The names in the order of `ids`, (rows,), with id as index; missing where a row has none.
    """
    table = pa.concat_tables(prepared.slices(prepared_folder, split) for split in splits)
    column = "group" if table["slice"].null_count == len(table) else "slice"
    return table.to_pandas().set_index("id")[column].reindex(ids)


def metrics_by_slice(
    slices: "pd.Series[str]", truth: np.ndarray, P: np.ndarray, settings: EvaluateParams, spread: float = 1
) -> list[dict[str, Any]]:
    """Compute rows, accuracy with its 95 % interval, and macro F1 of every slice, the largest first.

    Args:
        slices: (rows,) names, as `names` returns them.
        truth: (rows,) label indices.
        P: (rows, labels) probabilities.
        spread: of accuracies, as in scores/intervals.py.
    """
    rows = slices.groupby(slices).indices
    largest = sorted(rows, key=lambda name: (-len(rows[name]), name))[:MAX_SLICES]
    return [_metrics(name, truth[rows[name]], P[rows[name]], settings, spread) for name in largest]


def metrics_of_long_texts(
    rows: Features, truth: np.ndarray, P: np.ndarray, settings: EvaluateParams, spread: float = 1
) -> list[dict[str, Any]]:
    """Compute the same of the texts with more tokens than the backbone reads at a time; empty where there are none.

    Args:
        rows: the judged rows; `truth` and `P` are in their order.
    """
    if rows.is_long is None or not rows.is_long.any():
        return []
    name = f"longer than {rows.metadata.max_length:,} tokens{', cut' if rows.cut_rows else ''}"
    return [_metrics(name, truth[rows.is_long], P[rows.is_long], settings, spread)]


def _metrics(name: str, truth: np.ndarray, P: np.ndarray, settings: EvaluateParams, spread: float) -> dict[str, Any]:
    """Compute the metrics of the rows of one slice."""
    hits = int((P.argmax(axis=1) == truth).sum())
    interval = proportions.spread_interval(hits, len(truth), spread) if settings.bootstrap else ()
    headline = metrics.headline(truth, P)
    return {
        "slice": name,
        "rows": len(truth),
        "accuracy": headline["accuracy"],
        **dict(zip(("low", "high"), interval, strict=False)),
        "macro_f1": headline["macro_f1"],
    }
