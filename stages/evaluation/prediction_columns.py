"""The columns that `evaluate` and `predict` write for every row: labels, probabilities, how sure they are."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.heads.certainty import Verdicts
from stages.tasks import Task


def columns(outputs: np.ndarray, task: Task) -> dict[str, pa.Array]:
    """Make the columns `predicted`, and of classes `confidence` and one `p_LABEL` for every label.

    Args:
        outputs: (rows, …) of the task; a row with NaN, one that could not be classified, becomes nulls.
        task: names the labels, and decides what is predicted.
    """
    gaps, known = missing(outputs), np.nan_to_num(outputs)
    predicted = task.predicted(known)
    out = {"predicted": pc.if_else(pa.array(gaps), pa.scalar(None, predicted.type), predicted)}
    if not task.has_classes:
        return out
    P = task.probabilities(outputs)
    return {
        **out,
        "confidence": pa.array(task.confidence(known).astype(np.float32), mask=gaps),
        **{f"p_{label}": pa.array(P[:, k].astype(np.float32), mask=gaps) for k, label in enumerate(task.labels)},
    }


def missing(outputs: np.ndarray) -> np.ndarray:
    """Tell which rows could not be classified, whose outputs are NaN: (rows,) bool."""
    return np.asarray(np.isnan(outputs).any(axis=tuple(range(1, outputs.ndim))))


def certainty_columns(verdicts: Verdicts, labels: Sequence[str], missing: np.ndarray) -> dict[str, pa.Array]:
    """Make the columns `accepted`, `unfamiliar`, `prediction_set`, `low` and `high`, those that there are verdicts for.

    `low` and `high` are null where an interval has no end.

    Args:
        verdicts: how sure the model is of the rows.
        labels: names of the labels.
        missing: (rows,) bool: rows that could not be classified, which become nulls.
    """
    out: dict[str, pa.Array] = {}
    if verdicts.accepted is not None:
        out["accepted"] = pa.array(verdicts.accepted, mask=missing)
    if verdicts.unfamiliar is not None:
        out["unfamiliar"] = pa.array(verdicts.unfamiliar.astype(np.float32), mask=missing)
    if verdicts.sets is not None:
        names = np.asarray(labels, dtype=object)
        sets = [None if gap else names[row].tolist() for row, gap in zip(verdicts.sets, missing, strict=True)]
        out["prediction_set"] = pa.array(sets, pa.list_(pa.string()))
    if verdicts.intervals is not None:
        for name, ends in zip(("low", "high"), verdicts.intervals.T, strict=True):
            out[name] = pa.array(ends, pa.float64(), mask=missing | np.isinf(ends))
    return out


def has_all(path: Path, first: str = "model", last: str | None = None) -> bool:
    """Tell whether a file is a table with these columns, which starts with column `first` and ends with `last`."""
    try:
        return are_in(pq.read_schema(path).names, first, last)
    except (OSError, pa.ArrowException):
        return False


def are_in(names: Sequence[object], first: str, last: str | None) -> bool:
    """Tell whether names of columns are those of predictions, the first and, unless it is None, the last as given."""
    is_framed = list(names[:1]) == [first] and (last is None or names[-1] == last)
    return is_framed and "predicted" in names and bool({"confidence", "low"} & {*names})
