"""Metrics of parts of the judged rows: rows that share a value of `prepare.slice`, or of `prepare.group`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from stages.common.params import EvaluateParams
from stages.evaluation.results import ScoredRows
from stages.scores import means, proportions
from stages.tables import prepared

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
    slices: "pd.Series[str]", scored: ScoredRows, model: str, settings: EvaluateParams
) -> list[dict[str, Any]]:
    """Compute the rows, the primary metric with its 95 % interval, and the second one, of every slice.

    The largest slices come first. A metric that is not defined for the rows is left out.

    Args:
        slices: (rows,) names, as `names` returns them.
        scored: the judged rows.
        model: whose metrics are computed.
    """
    rows = slices.groupby(slices).indices
    largest = sorted(rows, key=lambda name: (-len(rows[name]), name))[:MAX_SLICES]
    return [_metrics(name, rows[name], scored, model, settings) for name in largest]


def metrics_of_long_texts(scored: ScoredRows, model: str, settings: EvaluateParams) -> list[dict[str, Any]]:
    """Compute the same of the texts with more tokens than the backbone reads at a time; empty where there are none."""
    rows = scored.rows
    if rows.is_long is None or not rows.is_long.any():
        return []
    name = f"longer than {rows.metadata.max_length:,} tokens{', cut' if rows.cut_rows else ''}"
    return [_metrics(name, np.flatnonzero(rows.is_long), scored, model, settings)]


def _metrics(name: str, rows: np.ndarray, scored: ScoredRows, model: str, settings: EvaluateParams) -> dict[str, Any]:
    """Compute the metrics of the rows of one slice; `rows`: (rows,) indices."""
    task = scored.task
    headline = task.headline(scored.truth[rows], scored.probabilities[model][rows])
    interval = _interval(scored, scored.row_values(model)[rows]) if settings.bootstrap else ()
    return {
        "slice": name,
        "rows": len(rows),
        task.primary: headline[task.primary],
        **dict(zip(("low", "high"), interval, strict=False)),
        **{metric: headline[metric] for metric in (task.second,) if metric in headline},
    }


def _interval(scored: ScoredRows, values: np.ndarray) -> tuple[float, float]:
    """Compute the 95 % interval of the mean of what `ScoredRows.row_values` gives for some rows."""
    if scored.task.primary == "accuracy":
        return proportions.spread_interval(int(values.sum()), len(values), scored.spread)
    return means.interval(values, scored.spread)
