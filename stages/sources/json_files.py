"""Tables in JSON: one object a line, or one list of objects."""

import json
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from stages.common.errors import HeadstartError, counted, one_line
from stages.sources import text_files
from stages.sources.row import Columns, Reading, require

LINES = (".jsonl", ".ndjson")
SUFFIXES = (*LINES, ".json")
MAX_WHOLE = 2**28  # characters of a file that is one value, which the memory must hold
ONE_VALUE = ", or name it .json if the whole file is one list or object"
MAX_PEEK_ROWS = 100  # of which one must have a column
LAYOUTS = "it needs a list of objects, an object with one such list, an object of columns, or one object a line"


def records(path: Path, columns: Columns, reading: Reading) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number, column values) for each row: the number of its line, or in a .json file of the row, from 1.

    One of the first `MAX_PEEK_ROWS` rows must have a column; a row without it has None there.

    Raises:
        HeadstartError: the file is not JSON of one of these layouts, or lacks a column.
    """
    rows = _lines(path, reading) if text_files.suffix(path) in LINES else _whole(path, columns, reading)
    objects = _objects(path, rows)
    start = list(islice(objects, MAX_PEEK_ROWS))
    if not start:
        raise HeadstartError(f"{path} is empty; it needs one JSON object a line or a list of objects")
    require(path, columns, list(dict.fromkeys(key for _, record in start for key in record)))
    for number, record in chain(start, objects):
        others = record if columns.keep_all else {}
        yield number, {**others, **{name: record.get(name) for name in columns.names()}}


def _objects(path: Path, rows: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows; the first that is no object is an error."""
    for number, record in rows:
        if not isinstance(record, dict):
            position, hint = (
                (f"in line {number}", ONE_VALUE) if text_files.suffix(path) in LINES else (f"in row {number}", "")
            )
            raise HeadstartError(f"{path} holds no JSON object {position}; each must be one object{hint}")
        yield number, record


def _lines(path: Path, reading: Reading) -> Iterator[tuple[int, Any]]:
    """Yield the objects of a file with one a line; blank lines are none."""
    with text_files.opened(path, reading) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise _invalid(path, error, f" in line {number}", ONE_VALUE if number == 1 else "") from None


def _whole(path: Path, columns: Columns, reading: Reading) -> Iterator[tuple[int, Any]]:
    """Yield the objects of a file that is one JSON value, or of one that has an object on each line all the same."""
    parts, size = [], 0
    with text_files.opened(path, reading) as lines:
        for line in lines:
            parts.append(line)
            size += len(line)
            if size > MAX_WHOLE:
                raise HeadstartError(
                    f"{path} has more than {MAX_WHOLE:,} characters; write one object a line, to a .jsonl file"
                )
    text = "".join(parts)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data":
            return _lines(path, reading)
        raise _invalid(path, error) from None
    return enumerate(_rows(path, content, columns), start=1)


def _rows(path: Path, content: Any, columns: Columns) -> list[Any]:
    """Return the rows of a JSON value: a list, the one list of objects in an object, or columns as pandas writes."""
    if isinstance(content, list):
        return content
    if not isinstance(content, dict):
        raise HeadstartError(f"{path} holds one {type(content).__name__}; {LAYOUTS}")
    lists = [value for value in content.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
    if len(lists) > 1:  # the others describe the data, such as its classes
        lists = [value for value in lists if set(columns.names()) <= value[0].keys()] or lists
    rows = lists[0] if len(lists) == 1 else None if lists else _from_columns(content, columns)
    if rows is None:
        raise HeadstartError(f"{path} holds one object with {counted(len(content), 'key')}; {LAYOUTS}")
    return rows


def _from_columns(content: dict[str, Any], columns: Columns) -> list[Any] | None:
    """Return the rows of an object as pandas writes it, by columns or by rows, or of one row; None if it is none."""
    names, data, values = content.get("columns"), content.get("data"), list(content.values())
    if isinstance(names, list) and isinstance(data, list) and all(isinstance(row, list) for row in data):
        return [dict(zip(map(str, names), row, strict=False)) for row in data]
    if values and all(isinstance(value, dict) for value in values):
        by_row = set(columns.names()) <= values[0].keys()
        return values if by_row else [{name: content[name].get(key) for name in content} for key in values[0]]
    if values and all(isinstance(value, list) and len(value) == len(values[0]) for value in values):
        return [dict(zip(content, row, strict=True)) for row in zip(*values, strict=True)]
    return [content] if values and not any(isinstance(value, dict | list) for value in values) else None


def _invalid(path: Path, error: BaseException, position: str = "", hint: str = "") -> HeadstartError:
    return HeadstartError(f"{path} is not valid JSON{position}: {one_line(error)}; correct it{hint}")
