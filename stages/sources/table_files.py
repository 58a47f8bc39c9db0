"""Tables of texts, image paths or image bytes (.csv .tsv .jsonl .parquet): one file, or a folder with one per split.

A file whose rows cannot be told apart (ragged lines, wrong encoding, damaged) is refused whole, with the line.
"""

import csv
import json
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from stages.common.errors import HeadstartError, did_you_mean, listed, one_line
from stages.sources.row import SPLIT_NAMES, Columns, Row, by_split
from stages.tables import images

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
PEEK = 100  # values that tell paths of images from texts
LONGEST = 2**26  # characters of a line or a field: far beyond any text to classify, and no danger to the memory


def rows(data: Path, columns: Columns, modality: str) -> Iterator[Row]:
    """Yield every row of a table, or of a folder of tables named train, validation and test, in order."""
    for path, split in tables(data).items():
        folder = path.parent.resolve()
        for number, values in _records(path, columns):
            yield _row(f"{path.name}:{number}", values, columns, split, folder if modality == "image" else None)


def holds_images(data: Path, column: str) -> bool:
    """Whether the column holds images: bytes, or paths that all end like an image."""
    first = next(iter(tables(data)))
    values = [values[column] for _, values in islice(_records(first, Columns(column)), PEEK)]
    given = [value for value in values if value not in (None, "")]
    return bool(given) and all(
        isinstance(value, bytes | dict) or (isinstance(value, str) and images.is_image_name(value)) for value in given
    )


def tables(data: Path) -> dict[Path, str | None]:
    """The table files behind `data`, each with the split that its name gives, training rows first."""
    if data.is_dir():
        return _split_tables(data)
    if not data.exists():
        raise HeadstartError(f"{data} does not exist; set prepare.data to a {_any_format()} file or a folder of them")
    if not data.is_file():
        raise HeadstartError(f"{data} is no file; set prepare.data to a {_any_format()} file or a folder of them")
    if data.suffix.lower() not in FORMATS:
        raise HeadstartError(f"{data} ends in {data.suffix or 'nothing'}, but must end in {_any_format()}")
    return {data: None}


def _split_tables(folder: Path) -> dict[Path, str | None]:
    named = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in FORMATS:
            continue
        split = SPLIT_NAMES.get(path.stem.lower())
        if split is None:
            raise HeadstartError(
                f"{path} is named {path.stem}, but a table in a folder must be named train, validation or test"
            )
        named.append((split, path))
    return by_split(named, f"{folder} holds no train{{{','.join(FORMATS)}}}; add one, or name a table itself")


def _row(origin: str, values: dict[str, Any], columns: Columns, split: str | None, images_in: Path | None) -> Row:
    """`images_in`: the folder that image paths are relative to; None for text."""
    label = values[columns.label] if columns.label else None
    content: str | bytes
    if images_in is None:
        content, problem = _text(values[columns.input], columns.input)
        name = None
    else:
        content, name, problem = _image(values[columns.input], columns.input, origin, images_in)
    if not problem and columns.label and (label is None or not str(label).strip()):
        problem = f"{columns.label} is empty"
    if columns.split:
        named = values[columns.split]
        split = SPLIT_NAMES.get(str(named).strip().lower())
        if split is None:
            problem = problem or f"{columns.split} is {named!r}, not train, validation or test"
    return Row(
        origin=origin,
        content=type(content)() if problem else content,
        name=name,
        label=None if label is None else str(label).strip(),
        group=_named(values, columns.group),
        slice=_named(values, columns.slice),
        split=split,
        problem=problem,
    )


def _named(values: dict[str, Any], column: str | None) -> str | None:
    """The value of an optional column as a name; None where there is none."""
    value = values[column] if column else None
    return None if value is None or not str(value).strip() else str(value)


def _text(value: Any, column: str) -> tuple[str, str | None]:
    """(text, problem)"""
    if value is None or (isinstance(value, str) and not value.strip()):
        return "", f"{column} is empty"
    if not isinstance(value, str):
        return "", f"{column} is {type(value).__name__}, not text"
    if not _encodes(value):
        return "", f"{column} holds half a surrogate pair, which is not valid Unicode"
    return value, None


def _image(value: Any, column: str, origin: str, folder: Path) -> tuple[bytes, str | None, str | None]:
    """(bytes, path as given, problem); `value` is bytes, a path, or a mapping of both as on the hub."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if value is None or value == "":
        return b"", None, f"{column} is empty"
    if isinstance(value, bytes):
        return value, None, None
    if not isinstance(value, str):
        return b"", None, f"{column} is {type(value).__name__}, not a path or the bytes of an image"
    if "\0" in value or not _encodes(value):
        return b"", None, f"{column} is {value!r}, which is no path"
    path = folder / value
    try:
        # Links are followed before the check: a table from elsewhere must not reach the files of this machine.
        inside = not Path(value).is_absolute() and ".." not in Path(value).parts
        inside = inside and path.resolve().is_relative_to(folder)
    except (OSError, RuntimeError) as error:  # links in a circle
        return b"", value, f"{value} cannot be read ({error})"
    if not inside:
        raise HeadstartError(
            f"{origin}: {column} is {value!r}, which leaves the table's folder; use paths relative to it and inside it"
        )
    content, problem = images.read(path)
    return content, value, problem and f"{value} {problem}"


def _encodes(text: str) -> bool:
    """JSON can escape lone surrogates, which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _records(path: Path, columns: Columns) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line in the file, or row for Parquet, counted from 1; the wanted columns) of one table."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        yield from _parquet(path, columns)
    else:
        read = (
            _jsonl(path, columns)
            if suffix == ".jsonl"
            else _delimited(path, columns, "," if suffix == ".csv" else "\t")
        )
        try:
            yield from read
        except UnicodeDecodeError:
            raise HeadstartError(f"{path} is not UTF-8 in line {_first_bad_line(path)}; save it as UTF-8") from None


def _delimited(path: Path, columns: Columns, delimiter: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """CSV and TSV through the csv module: unlike pandas it tells short lines, and in which line of the file."""
    csv.field_size_limit(LONGEST)
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
            raise HeadstartError(f"{path} is not valid CSV in line {reader.line_num}: {error}; correct it") from None


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    """The lines of a file; none is read whole that is longer than `LONGEST`."""
    for number in count(1):
        line = file.readline(LONGEST)
        if len(line) == LONGEST:
            raise HeadstartError(
                f"{path} has more than {LONGEST:,} characters in line {number}, no text to classify; correct it"
            )
        if not line:
            return
        yield line


def _jsonl(path: Path, columns: Columns) -> Iterator[tuple[int, dict[str, Any]]]:
    empty = True
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(_lines(path, file), start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise HeadstartError(f"{path} is not valid JSON in line {number}: {error}; correct it") from None
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


def _any_format() -> str:
    return f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
