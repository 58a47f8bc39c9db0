"""Tables of predictions in the formats that people open: CSV, JSON lines, Parquet and .xlsx.

`write` gets the table in parts, so that memory does not grow with it. CSV and .xlsx hold lists and objects as JSON.
"""

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.common import json_file
from stages.common.errors import CONTROL_CHARACTERS, HeadstartError
from stages.evaluation import prediction_columns

FORMATS = (".csv", ".jsonl", ".parquet", ".xlsx")
MAX_SHEET_ROWS = 2**20  # of a spreadsheet, with its header
MAX_CELL = 32_767  # characters

Write = Callable[[pa.Table], object]


def check_format(path: Path) -> None:
    """Raise a HeadstartError unless a table can be written to a file of this name."""
    if path.suffix not in FORMATS:
        raise HeadstartError(f"{path} must end in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, which tells the format")
    if path.suffix == ".xlsx":
        try:
            import openpyxl  # noqa: F401
        except ImportError:
            raise HeadstartError(
                f"{path} needs the package openpyxl; run `pip install -e '.[spreadsheets]'`, or name a .csv file"
            ) from None


@contextmanager
def writer(path: Path, suffix: str, schema: pa.Schema) -> Iterator[Write]:
    """Yield a function that appends a part of the table to `path`, in the format that `suffix` names."""
    if suffix == ".parquet":
        with pq.ParquetWriter(path, schema, compression="zstd") as file:
            yield file.write_table
    elif suffix == ".xlsx":
        with _sheet(path, schema.names) as write:
            yield write
    else:
        with path.open("w", encoding="utf-8", newline="") as text:
            if suffix == ".csv":
                rows = csv.writer(text, lineterminator="\n")
                rows.writerow(schema.names)
                yield lambda table: rows.writerows(map(_cells, _records(table)))
            else:
                yield lambda table: text.writelines(map(_line, _records(table)))


def is_own(path: Path) -> bool:
    """Tell whether a file is a table of predictions in the format of its name."""
    names: Iterable[Any] = ()
    with suppress(Exception):  # whatever a reader raises on a file of others
        if path.suffix == ".parquet":
            names = pq.read_schema(path).names
        elif path.suffix == ".xlsx":
            names = _header(path)
        else:
            with path.open(encoding="utf-8", newline="") as text:
                names = next(csv.reader(text)) if path.suffix == ".csv" else json.loads(text.readline())
    return prediction_columns.are_in(list(names), first="source", last="rejected")


@contextmanager
def _sheet(path: Path, names: list[str]) -> Iterator[Write]:
    """Yield the function that appends to the one sheet of an .xlsx file; texts that start with `=` stay texts."""
    import openpyxl
    from openpyxl.cell import WriteOnlyCell

    book = openpyxl.Workbook(write_only=True)
    page = book.create_sheet("predictions")
    rows = 0

    def cell(value: Any) -> Any:
        if isinstance(value, bool | int | float | None):
            return value
        value = str(value)
        written = WriteOnlyCell(page, CONTROL_CHARACTERS.sub(_visible, value)[:MAX_CELL])
        written.data_type = "s"
        return written

    def append(table: pa.Table) -> None:
        nonlocal rows
        rows += len(table)
        if rows >= MAX_SHEET_ROWS:
            raise HeadstartError(f"a spreadsheet holds at most {MAX_SHEET_ROWS - 1:,} rows; name a .csv file")
        for record in _records(table):
            page.append([cell(value) for value in _cells(record)])

    page.append([cell(name) for name in names])
    yield append
    book.save(path)


def _visible(match: Any) -> str:
    """Write a character that a sheet cannot hold as an escape; line breaks and tabs stay."""
    text: str = match[0]
    return text if text in "\n\t\r" else text.encode("unicode_escape").decode("ascii")


def _header(path: Path) -> list[Any]:
    """Read the first row of an .xlsx file."""
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True)
    try:
        return list(next(book.worksheets[0].iter_rows(values_only=True)))
    finally:
        book.close()


def _records(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield the rows; probabilities, which are float32, with as few digits as tell them apart."""
    columns = [
        column.cast(pa.string()).cast(pa.float64()) if column.type == pa.float32() else column
        for column in table.columns
    ]
    for record in pa.table(columns, names=table.column_names).to_pylist():
        yield {name: None if _is_no_number(value) else value for name, value in record.items()}


def _is_no_number(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _cells(record: dict[str, Any]) -> list[Any]:
    return [json_file.line(value) if isinstance(value, list | dict) else value for value in record.values()]


def _line(record: dict[str, Any]) -> str:
    return json_file.line(record) + "\n"
