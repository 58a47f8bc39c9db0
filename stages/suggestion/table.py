"""The table of suggestions, in which a person fills in the labels."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from stages.common.errors import HeadstartError, counted
from stages.common.params import Modality
from stages.sources import table_files, values
from stages.sources.row import DEFAULT_READING, Columns
from stages.tables import prepared

LABEL = "label"
Input: TypeAlias = tuple[str, str, str | None]  # id, source, and text; None for an image
SURE_MARGIN = 0.5  # from which the second guess is not named
OWN = ("id", "predicted", "confidence", "margin", "reason", LABEL)


def make(inputs: Sequence[Input], stands_for: np.ndarray, P: np.ndarray | None, labels: Sequence[str]) -> pa.Table:
    """Make the table, one line for every chosen row, best first.

    Args:
        inputs: of the rows.
        stands_for: (rows,) how many other unlabelled rows each is the nearest to.
        P: (rows, labels) probabilities; None where there is no head yet.
    """
    ids, sources, texts = zip(*inputs, strict=True)
    nothing = np.full((len(ids), 2), np.nan)
    order = None if P is None else np.argsort(-P, axis=1, kind="stable")[:, :2]
    highest = (nothing if P is None or order is None else np.take_along_axis(P, order, axis=1)).astype(np.float32)
    guesses = [None] * len(ids) if order is None else [tuple(labels[column] for column in row) for row in order]
    reasons = [_reason(*row) for row in zip(stands_for.tolist(), guesses, highest, strict=True)]
    return pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "source": pa.array(sources, pa.string()),
            **({} if texts[0] is None else {"text": pa.array(texts, pa.large_string())}),
            "predicted": pa.array([pair and pair[0] for pair in guesses], pa.string()),
            "confidence": pa.array(highest[:, 0], from_pandas=True),
            "margin": pa.array(highest[:, 0] - highest[:, 1], from_pandas=True),
            "reason": pa.array(reasons, pa.string()),
            LABEL: pa.nulls(len(ids), pa.string()),
        }
    )


def _reason(others: int, guesses: tuple[str, str] | None, shares: np.ndarray) -> str:
    """Say why a row was chosen; `guesses`: the two likeliest labels, whose probabilities are `shares`."""
    typical = f"stands for {counted(others, 'other row')}" if others else "stands for no other row"
    if guesses is None:
        return typical
    (first, second), (high, low) = guesses, shares
    doubt = f" or {second} ({low:.2f})" if high - low < SURE_MARGIN else ""
    return f"{first} ({high:.2f}){doubt}; {typical}"


def check_replaceable(path: Path) -> None:
    """Raise a HeadstartError if `path` is a table of suggestions in which labels were filled in."""
    if labels := sum(label is not None for label in _labels(path) or ()):
        raise HeadstartError(
            f"{path} holds {counted(labels, 'label')}, which would be lost; put them into your table first and delete"
            " it, or name another file"
        )


def is_own(path: Path) -> bool:
    """Tell whether a file is a table of suggestions."""
    return _labels(path) is not None


def _labels(path: Path) -> list[str | None] | None:
    """Read the labels that were filled in, however the file was saved since; None if it is no table of suggestions."""
    with suppress(Exception):  # whatever a reader raises on a file of others
        columns = Columns(OWN)
        rows = table_files.records(path, columns, DEFAULT_READING)
        return [values.as_text(record[LABEL]) for _, record in rows]
    return None


def read_inputs(prepared_folder: Path, modality: Modality, ids: Sequence[str]) -> list[Input]:
    """Read id, source and text, or None for an image, of unlabelled rows, in the order of `ids`.

    Raises:
        HeadstartError: a row is missing.
    """
    text_modality: Modality | None = "text" if modality == "text" else None
    rows = prepared.inputs_and_sources(prepared_folder, prepared.UNLABELLED, text_modality, ids)
    by_id = {row_id: (row_id, source, text) for row_id, text, source in rows}
    if missing := next((row_id for row_id in ids if row_id not in by_id), None):
        raise prepared.missing_row(prepared_folder / prepared.UNLABELLED, missing)
    return [by_id[row_id] for row_id in ids]
