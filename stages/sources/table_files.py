"""Tables of texts, image paths or image bytes: one file, or a folder of them.

A file that cannot be divided into rows (ragged lines, wrong encoding, damage) is an error that names the line.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from stages.common.errors import HeadstartError
from stages.common.params import Modality
from stages.sources import (
    delimited,
    json_files,
    links,
    parquet_files,
    spreadsheets,
    table_folders,
    table_rows,
    text_files,
)
from stages.sources.blocks import Block, block
from stages.sources.row import Columns, Reading, Row, utf8_name
from stages.tables.prepared import UNLABELLED, WINDOW_ROWS

ANY_FORMAT = f"{', '.join(table_folders.FORMATS)} or {delimited.SUFFIX_ALONE}"


def rows(data: Path, columns: Columns, modality: Modality, reading: Reading) -> Iterator[Row]:
    """Yield every row of a table, or of a folder of tables named train, validation and test, in order.

    JSON files of other names, which describe data as often as they hold them, become rows that are skipped.
    """
    yield from skipped(data)
    for table in _tables(data, columns, reading):
        folder = table_rows.ImageFolder(table.path.parent, reading.follow_links) if modality == "image" else None
        for number, record in table.records(reading):
            yield table_rows.row(f"{table.origin}:{number}", record, table.columns, table.split, folder)


def text_blocks(data: Path, columns: Columns, reading: Reading) -> Iterator[Block]:
    """Yield the texts among `rows`, but for those that are skipped, some thousand rows at a time."""
    for table in _tables(data, columns, reading):
        for numbers, values in table.blocks(reading):
            yield block(table.origin, numbers, values, table.columns, table.split)


def skipped(data: Path) -> Iterator[Row]:
    """Yield the files that are listed, but not read."""
    for path in table_folders.described(data):
        yield Row(utf8_name(path.name), "", problem="is JSON that its name gives to no split", skipped=True)


@dataclass(frozen=True)
class _Table:
    """One file of rows."""

    path: Path
    split: str | None
    origin: str  # of its rows, without their number
    columns: Columns

    @property
    def needs_no_label(self) -> bool:
        """Whether all rows are unlabelled, so that a column of labels may be missing."""
        return self.split == UNLABELLED and self.columns.label is not None

    def records(self, reading: Reading) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield what `records` does; a file of unlabelled rows needs no column of labels."""
        if not self.needs_no_label:
            yield from records(self.path, self.columns, reading)
            return
        for number, record in records(self.path, replace(self.columns, label=None, keep_all=True), reading):
            yield number, {**dict.fromkeys(self.columns.labels()), **record}

    def blocks(self, reading: Reading) -> Iterator[tuple[Sequence[int], Mapping[str, Sequence[Any]]]]:
        """Yield (numbers, values of every column) of some thousand rows at a time."""
        if is_delimited(self.path) and not self.needs_no_label:
            yield from delimited.blocks(self.path, self.columns, reading)
            return
        numbered = self.records(reading)
        while some := list(islice(numbered, WINDOW_ROWS["text"])):
            numbers, rows = zip(*some, strict=True)
            yield numbers, {name: [row[name] for row in rows] for name in self.columns.names()}


def _tables(data: Path, columns: Columns, reading: Reading) -> Iterator[_Table]:
    for path, split in tables(data).items():
        if data.is_dir():
            links.refuse(path, data, follow=reading.follow_links)
        origin = utf8_name(path.relative_to(data if data.is_dir() else data.parent).as_posix())
        form = replace(columns.form, is_text=is_delimited(path))
        yield _Table(path, split, origin, replace(columns, form=form))


def records(path: Path, columns: Columns, reading: Reading) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number, column values) for each row; the number is a line in the file, or a row, from 1."""
    return _reader(path)(path, columns, reading)


def is_delimited(path: Path) -> bool:
    """Tell whether a table is of delimited lines, where every value is a text."""
    return _reader(path) is delimited.records


def _reader(path: Path) -> Callable[[Path, Columns, Reading], Iterator[tuple[int, dict[str, Any]]]]:
    """Return the function that reads files of this format."""
    match text_files.suffix(path):
        case suffix if suffix in parquet_files.SUFFIXES:
            return parquet_files.records
        case suffix if suffix in json_files.SUFFIXES:
            return json_files.records
        case suffix if suffix in spreadsheets.SUFFIXES:
            return spreadsheets.records
        case _:
            return delimited.records


def tables(data: Path) -> dict[Path, str | None]:
    """Map the table files in `data` to the splits that their names tell, training rows first.

    Raises:
        HeadstartError: `data` does not exist, or is neither a table nor a folder of tables with training rows.
    """
    if data.is_dir():
        return table_folders.tables(data)
    if not data.is_file():
        problem = "is not a file" if data.exists() else "does not exist"
        raise HeadstartError(f"{data} {problem}; set prepare.data to a {ANY_FORMAT} file or a folder of them")
    if not table_folders.is_table(data) and text_files.suffix(data) != delimited.SUFFIX_ALONE:
        raise HeadstartError(
            f"{data} ends in {data.suffix or 'nothing'}, but must end in {ANY_FORMAT}; text formats may be compressed"
            f" ({', '.join(text_files.COMPRESSED)})"
        )
    return {data: None}
