"""Tables of texts, image paths or image bytes (.csv .tsv .jsonl .parquet): one file, or a folder with one per split.

A file that cannot be divided into rows (ragged lines, wrong encoding, damage) is an error that names the line.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from stages.common.errors import HeadstartError, did_you_mean, listed, not_utf8, one_line
from stages.common.params import Modality
from stages.sources import links
from stages.sources.row import SPLIT_NAMES, Columns, Row, by_split, utf8_name
from stages.tables import images

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
ANY_FORMAT = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
MAX_PEEK_ROWS = 100  # read to tell paths of images from texts
HALF_PAIR = "holds half a surrogate pair, which is not valid Unicode"
MAX_LINE = 2**26  # characters of a line or a field: far more than any text to classify, but safe for the memory


def rows(data: Path, columns: Columns, modality: Modality, *, follow_links: bool = False) -> Iterator[Row]:
    """Yield every row of a table, or of a folder of tables named train, validation and test, in order.

    Args:
        follow_links: whether tables in a folder, and images that a table names, may be links out of their folder.
    """
    for path, split in tables(data).items():
        if data.is_dir():
            links.refuse(path, data, follow=follow_links)
        images_of_table = _ImageFolder(path.parent, follow_links) if modality == "image" else None
        for number, record in _records(path, columns):
            yield _row(f"{utf8_name(path.name)}:{number}", record, columns, split, images_of_table)


@dataclass(frozen=True)
class _ImageFolder:
    """Where the images of a table lie."""

    path: Path
    follow_links: bool


def holds_images(data: Path, column: str) -> bool:
    """Return whether the column holds images: bytes, or paths that all end like an image."""
    first = next(iter(tables(data)))
    values = [record[column] for _, record in islice(_records(first, Columns(column)), MAX_PEEK_ROWS)]
    filled = [value for value in values if value not in (None, "")]
    return bool(filled) and all(
        isinstance(value, bytes | dict) or (isinstance(value, str) and images.is_image_name(value)) for value in filled
    )


def tables(data: Path) -> dict[Path, str | None]:
    """Map the table files in `data` to the splits that their names tell, training rows first.

    Raises:
        HeadstartError: `data` does not exist, is neither a table nor a folder of tables, or holds no training rows.
    """
    if data.is_dir():
        return _split_tables(data)
    if not data.is_file():
        problem = "is not a file" if data.exists() else "does not exist"
        raise HeadstartError(f"{data} {problem}; set prepare.data to a {ANY_FORMAT} file or a folder of them")
    if data.suffix.lower() not in FORMATS:
        raise HeadstartError(f"{data} ends in {data.suffix or 'nothing'}, but must end in {ANY_FORMAT}")
    return {data: None}


def _split_tables(folder: Path) -> dict[Path, str | None]:
    """Map the tables in a folder to the splits of their names; files of other formats are ignored."""
    splits_and_paths = []
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.suffix.lower() not in FORMATS:
            continue
        split = SPLIT_NAMES.get(path.stem.lower())
        if split is None:
            raise HeadstartError(
                f"{path} is named {path.stem}, but a table in a folder must be named train, validation or test"
            )
        splits_and_paths.append((split, path))
    error = f"{folder} holds no train{{{','.join(FORMATS)}}}; add one, or set prepare.data to a table"
    return by_split(splits_and_paths, no_train_error=error)


def _row(
    origin: str, record: dict[str, Any], columns: Columns, split: str | None, image_folder: _ImageFolder | None
) -> Row:
    """Check the values of one record.

    Args:
        split: of the whole file; a split column takes precedence.
        image_folder: image paths are relative to it; None for text.
    """
    label = record[columns.label] if columns.label else None
    name: str | None = None
    content: str | bytes
    if image_folder is None:
        content, problem = _text(record[columns.input], columns.input)
    else:
        content, name, problem = _image(record[columns.input], columns.input, origin, image_folder)
    if not problem and columns.label and (label is None or not str(label).strip()):
        problem = f"{columns.label} is empty"
    for name_of_column in (columns.label, columns.group, columns.slice):
        problem = problem or (_unwritable(str(record[name_of_column]), name_of_column) if name_of_column else None)
    if columns.split:
        value = record[columns.split]
        split = SPLIT_NAMES.get(str(value).strip().lower())
        if split is None:
            problem = problem or f"{columns.split} is {value!r}, not train, validation or test"
    return Row(
        origin=origin,
        content=type(content)() if problem else content,
        name=name,
        label=None if label is None else str(label).strip(),
        group=_optional(record, columns.group),
        slice=_optional(record, columns.slice),
        split=split,
        problem=problem,
    )


def _optional(record: dict[str, Any], column: str | None) -> str | None:
    """Return the value of an optional column as a string; None if it is empty or there is no such column."""
    value = record[column] if column else None
    return None if value is None or not str(value).strip() else str(value)


def _text(value: Any, column: str) -> tuple[str, str | None]:
    """Return (text, None), or (empty text, problem)."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return "", f"{column} is empty"
    if not isinstance(value, str):
        return "", f"{column} is {type(value).__name__}, not text"
    if not _encodes(value):
        return "", f"{column} {HALF_PAIR}"
    return value, None


def _unwritable(value: str, column: str) -> str | None:
    """Return why a label, group or slice cannot be used as a name, or None."""
    if not _encodes(value):
        return f"{column} {HALF_PAIR}"
    return f"{column} holds a NUL character" if "\0" in value else None


def _image(value: Any, column: str, origin: str, folder: _ImageFolder) -> tuple[bytes, str | None, str | None]:
    """Return (bytes, path as the table spells it, problem).

    Args:
        value: bytes, a path, or a mapping of both, as in data sets of the hub.
        origin: file and line, for the error.

    Raises:
        HeadstartError: the path leaves the folder.
    """
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if value is None or value == "":
        return b"", None, f"{column} is empty"
    if isinstance(value, bytes):
        return value, None, None
    if not isinstance(value, str):
        return b"", None, f"{column} is {type(value).__name__}, not a path or the bytes of an image"
    if "\0" in value or not _encodes(value):
        return b"", None, f"{column} is {value!r}, which is not a path"
    path = folder.path / value
    # The check follows links: a downloaded table must not reach other files of this machine.
    inside = not Path(value).is_absolute() and ".." not in Path(value).parts
    if not inside or (not folder.follow_links and links.leaves(path, folder.path)):
        raise HeadstartError(
            f"{origin}: {column} is {value!r}, which leaves the table's folder; use paths relative to it and inside it"
        )
    content, problem = images.read(path)
    return content, value, problem and f"{value} {problem}"


def _encodes(text: str) -> bool:
    """Return whether UTF-8 can encode the text: JSON can escape lone surrogates, which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _records(path: Path, columns: Columns) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number, column values) for each row; the number is a line in the file, for Parquet a row, from 1."""
    try:
        match path.suffix.lower():
            case ".parquet":
                yield from _parquet(path, columns)
            case ".jsonl":
                yield from _jsonl(path, columns)
            case suffix:
                yield from _delimited(path, columns, "," if suffix == ".csv" else "\t")
    except UnicodeDecodeError:
        raise not_utf8(path, f"in line {_first_bad_line(path)}") from None


def _delimited(path: Path, columns: Columns, delimiter: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read CSV and TSV with the csv module: unlike pandas it reports short lines, and gives line numbers."""
    csv.field_size_limit(MAX_LINE)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(_lines(path, file), delimiter=delimiter, strict=True)
        try:
            header = next(reader, None)
            if header is None:
                raise HeadstartError(f"{path} is empty; it needs a header line and rows")
            _require(path, columns, header)
            index = {name: header.index(name) for name in columns.names()}
            line = reader.line_num + 1
            for record in reader:
                if record and len(record) != len(header):
                    raise HeadstartError(
                        f"{path} has {len(record)} fields in line {line}, but its header has {len(header)};"
                        " quote fields that hold the separator or a line break"
                    )
                if record:
                    yield line, {name: record[position] for name, position in index.items()}
                line = reader.line_num + 1
        except csv.Error as error:
            raise HeadstartError(
                f"{path} is not valid CSV in line {reader.line_num}: {one_line(error)}; correct it"
            ) from None


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    """Yield the lines of a file, and refuse one of more than `MAX_LINE` characters without reading it whole."""
    for number in count(1):
        line = file.readline(MAX_LINE)
        if len(line) == MAX_LINE:
            raise HeadstartError(f"{path} has more than {MAX_LINE:,} characters in line {number}; correct it")
        if not line:
            return
        yield line


def _jsonl(path: Path, columns: Columns) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read one JSON object a line; the first must have all columns, a later one without a column has None there."""
    empty = True
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(_lines(path, file), start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise HeadstartError(
                    f"{path} is not valid JSON in line {number}: {one_line(error)}; correct it"
                ) from None
            if not isinstance(record, dict):
                raise HeadstartError(f"{path} holds no JSON object in line {number}; each line must be one object")
            if empty:
                _require(path, columns, list(record))
                empty = False
            yield number, {name: record.get(name) for name in columns.names()}
    if empty:
        raise HeadstartError(f"{path} is empty; it needs one JSON object a line")


def _parquet(path: Path, columns: Columns) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with pq.ParquetFile(path) as table:
            _require(path, columns, table.schema_arrow.names)
            number = 0
            for batch in table.iter_batches(batch_size=256, columns=columns.names()):
                for record in batch.to_pylist():
                    number += 1
                    yield number, record
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: bytes that are not UTF-8
        raise HeadstartError(f"{path} is not readable Parquet ({one_line(error)}); write it again") from None


def _require(path: Path, columns: Columns, header: list[str]) -> None:
    """Raise a HeadstartError unless the header has all columns, each once."""
    twice = sorted({name for name in columns.names() if header.count(name) > 1})
    if twice:
        raise HeadstartError(f"{path} has two columns named {twice[0]}; rename one")
    for name in columns.names():
        if name not in header:
            raise HeadstartError(f"{path} has no column {name}; it has {listed(header)}{did_you_mean(name, header)}")


def _first_bad_line(path: Path) -> int:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 0
