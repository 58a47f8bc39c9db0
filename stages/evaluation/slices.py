"""Metrics of parts of the test rows: those that share a value of `prepare.slice`, or of `prepare.group`."""

from pathlib import Path
from typing import Any

import numpy as np

from stages.common.params import EvaluateParams
from stages.scores import metrics
from stages.tables import shards

LARGEST = 50  # slices that are looked at, where there are more


def names(prepared_folder: Path, ids: np.ndarray) -> np.ndarray:
    """The slice of each of the test rows `ids`, or its group where the table has no slices: (rows,) of str or None."""
    table = shards.read_all(prepared_folder / "test", ["id", "slice", "group"])
    column = "group" if table["slice"].null_count == len(table) else "slice"
    found = dict(zip(table["id"].to_pylist(), table[column].to_pylist(), strict=True))
    return np.array([found.get(each) for each in ids], dtype=object)


def metrics_of(
    slice_of: np.ndarray, truth: np.ndarray, P: np.ndarray, settings: EvaluateParams
) -> list[dict[str, Any]]:
    """Rows, accuracy with its 95 % interval, and macro F1 of each slice, the largest first.

    Args:
        slice_of: (rows,) what `names` gives.
        truth: (rows,) label indices.
        P: (rows, labels) probabilities.
    """
    named = slice_of[[each is not None for each in slice_of]].astype(str)
    found, counts = np.unique(named, return_counts=True)
    out = []
    for name in found[np.argsort(-counts, kind="stable")][:LARGEST]:
        rows = np.flatnonzero(slice_of == name)
        part = {"it": P[rows]}
        values = metrics.bootstrap(truth[rows], part, resamples=settings.bootstrap, seed=settings.seed)["it"]
        ends = metrics.intervals(values).get("accuracy", ())
        headline = metrics.headline(truth[rows], P[rows])
        out.append(
            {
                "slice": str(name),
                "rows": len(rows),
                "accuracy": headline["accuracy"],
                **dict(zip(("low", "high"), ends, strict=False)),
                "macro_f1": headline["macro_f1"],
            }
        )
    return out
