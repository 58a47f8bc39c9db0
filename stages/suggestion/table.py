"""The table of suggestions, in which a person fills in the labels."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from stages.common.errors import HeadstartError, counted
from stages.common.params import Modality
from stages.sources import table_files, values
from stages.sources.row import DEFAULT_READING, Columns
from stages.tables import prepared
from stages.tasks import ClassTask

LABEL = "label"
Input: TypeAlias = tuple[str, str, str | None]  # id, source, and text; None for an image
OWN = ("id", "predicted", "confidence", "margin", "reason", LABEL)


def make(inputs: Sequence[Input], stands_for: np.ndarray, guessed: tuple[ClassTask, np.ndarray] | None) -> pa.Table:
    """Make the table, one line for every chosen row, best first.

    Args:
        inputs: of the rows.
        stands_for: (rows,) how many other unlabelled rows each is the nearest to.
        guessed: the head's task and its outputs, (rows, …); None where there is no head yet.
    """
    ids, sources, texts = zip(*inputs, strict=True)
    numbers = stands_for.tolist()
    reasons = [f"stands for {counted(others, 'other row') if others else 'no other row'}" for others in numbers]
    if guessed:
        task, outputs = guessed
        reasons = [f"{guess}; {reason}" for guess, reason in zip(task.guesses(outputs), reasons, strict=True)]
    return pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "source": pa.array(sources, pa.string()),
            **({} if texts[0] is None else {"text": pa.array(texts, pa.large_string())}),
            **_guess_columns(len(ids), guessed),
            "reason": pa.array(reasons, pa.string()),
            LABEL: pa.nulls(len(ids), pa.string()),
        }
    )


def _guess_columns(count: int, guessed: tuple[ClassTask, np.ndarray] | None) -> dict[str, pa.Array]:
    """Make the columns of what the head says of `count` rows, which are empty without one."""
    if guessed is None:
        shares = pa.nulls(count, pa.float32())
        return {"predicted": pa.nulls(count, pa.string()), "confidence": shares, "margin": shares}
    task, outputs = guessed
    return {
        "predicted": task.predicted(outputs),
        "confidence": pa.array(task.confidence(outputs).astype(np.float32)),
        # The difference of probabilities as they would be written, so that the columns agree.
        "margin": pa.array(task.margins(outputs.astype(np.float32)).astype(np.float32)),
    }


def check_replaceable(path: Path) -> None:
    """Raise a HeadstartError if `path` is a table of suggestions in which labels were filled in."""
    if labels := sum(_are_filled(path) or ()):
        raise HeadstartError(
            f"{path} holds {counted(labels, 'label')}, which would be lost; put them into your table first and delete"
            " it, or name another file"
        )


def is_own(path: Path) -> bool:
    """Tell whether a file is a table of suggestions."""
    return _are_filled(path) is not None


def _are_filled(path: Path) -> list[bool] | None:
    """Tell which labels were filled in, however the file was saved since; None if it is no table of suggestions."""
    with suppress(Exception):  # whatever a reader raises on a file of others
        columns = Columns(OWN)
        rows = table_files.records(path, columns, DEFAULT_READING)
        return [_is_filled(record[LABEL]) for _, record in rows]
    return None


def _is_filled(label: Any) -> bool:
    return isinstance(label, list) or values.as_text(label) is not None


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
