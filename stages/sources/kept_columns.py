"""The columns of a table as they are handed on beside what is computed from its rows."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.common import json_file
from stages.sources import table_files
from stages.sources.row import Columns, Reading

WINDOW_ROWS = 4096
FAILURES = (pa.ArrowException, ValueError, TypeError, OverflowError)  # half a surrogate pair, numbers beyond 64 bits


def types(data: Path, columns: Columns, reading: Reading) -> dict[str, pa.DataType]:
    """Read a table, or the tables of a folder, once to find all columns and a type that holds all of their values.

    Columns of values without a common type become text.

    Args:
        columns: with `keep_all`.
    """
    kinds: dict[str, pa.DataType] = {}
    records = _records(data, columns, reading)
    while window := list(islice(records, WINDOW_ROWS)):
        for name in dict.fromkeys(name for record in window for name in record):
            kind = _type([record.get(name) for record in window])
            kinds[name] = _common(kinds.get(name, pa.null()), kind)
    return {name: pa.string() if kind == pa.null() else kind for name, kind in kinds.items()}


def array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Make a column of this type; text of values that are none."""
    if kind != pa.string():
        return pa.array(values, kind)
    return pa.array([None if value is None else _text(value) for value in values], kind)


def _records(data: Path, columns: Columns, reading: Reading) -> Iterator[dict[str, Any]]:
    for path in table_files.tables(data):
        for _, record in table_files.records(path, columns, reading):
            yield record


def _type(values: Sequence[Any]) -> pa.DataType:
    try:
        return pa.array(values).type
    except FAILURES:
        return pa.string()


def _common(first: pa.DataType, second: pa.DataType) -> pa.DataType:
    if first == second or second == pa.null():
        return first
    if first == pa.null():
        return second
    numbers = {pa.int64(), pa.float64()}
    return pa.float64() if {first, second} == numbers else pa.string()


def _text(value: Any) -> str:
    """Write a value as text; what UTF-8 cannot hold, as escapes."""
    text = value if isinstance(value, str) else json_file.line(value) if isinstance(value, list | dict) else str(value)
    return text.encode("utf-8", "backslashreplace").decode()
