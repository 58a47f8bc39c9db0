"""Where raw rows come from: tables (.csv .tsv .jsonl .parquet), one file or a folder with one per split.

A row that cannot be used comes out with the reason, so that it can be listed. A file whose rows cannot be told apart
(ragged lines, wrong encoding, damaged) is refused whole, with the line.
"""

import csv
import difflib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.errors import HeadstartError

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One raw row. `problem` says why it cannot be used; `text` is empty then."""

    source: str
    text: str
    label: str | None = None
    group: str | None = None
    split: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns to read; `input` and `label` hold text and class."""

    input: str
    label: str | None = None
    group: str | None = None
    split: str | None = None

    def names(self) -> list[str]:
        return [name for name in (self.input, self.label, self.group, self.split) if name is not None]


def rows(data: Path, columns: Columns) -> Iterator[Row]:
    """Yield every row of a table, or of a folder of tables named train, validation and test, in order.

    Raises:
        HeadstartError: `data` is missing, has an unknown format, lacks a column, or is damaged.
    """
    for path, split in tables(data).items():
        for number, values in _records(path, columns):
            yield _row(f"{path.name}:{number}", values, columns, split)


def tables(data: Path) -> dict[Path, str | None]:
    """The table files behind `data`, each with the split that its name gives, training rows first."""
    if data.is_dir():
        return _split_tables(data)
    if not data.exists():
        raise HeadstartError(f"{data} does not exist; set prepare.data to a {_any_format()} file or a folder of them")
    if data.suffix.lower() not in FORMATS:
        raise HeadstartError(f"{data} ends in {data.suffix or 'nothing'}, but must end in {_any_format()}")
    return {data: None}


def _split_tables(folder: Path) -> dict[Path, str | None]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in FORMATS:
            continue
        split = SPLIT_NAMES.get(path.stem.lower())
        if split is None:
            raise HeadstartError(
                f"{path} is named {path.stem}, but a table in a folder must be named train, validation or test"
            )
        if split in found:
            raise HeadstartError(f"{found[split]} and {path} both hold the {split} split; keep one of them")
        found[split] = path
    if "train" not in found:
        raise HeadstartError(f"{folder} holds no train{{{','.join(FORMATS)}}}; add one, or name a table itself")
    return {found[split]: split for split in ("train", "validation", "test") if split in found}


def _row(source: str, values: dict[str, Any], columns: Columns, split: str | None) -> Row:
    text = values[columns.input]
    label = values[columns.label] if columns.label else None
    group = values[columns.group] if columns.group else None
    problem = None
    if text is None or (isinstance(text, str) and not text.strip()):
        problem = f"{columns.input} is empty"
    elif not isinstance(text, str):
        problem = f"{columns.input} is {type(text).__name__}, not text"
    elif not _encodes(text):
        problem = f"{columns.input} holds half a surrogate pair, which is not valid Unicode"
    elif columns.label and (label is None or not str(label).strip()):
        problem = f"{columns.label} is empty"
    if columns.split:
        named = values[columns.split]
        split = SPLIT_NAMES.get(str(named).strip().lower())
        if split is None:
            problem = problem or f"{columns.split} is {named!r}, not train, validation or test"
    return Row(
        source=source,
        text="" if problem else text,
        label=None if label is None else str(label).strip(),
        group=None if group is None or not str(group).strip() else str(group),
        split=split,
        problem=problem,
    )


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
    csv.field_size_limit(2**31 - 1)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
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


def _jsonl(path: Path, columns: Columns) -> Iterator[tuple[int, dict[str, Any]]]:
    empty = True
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
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
            for batch in table.iter_batches(batch_size=8_192, columns=columns.names()):
                for record in batch.to_pylist():
                    number += 1
                    yield number, record
    except (pa.ArrowException, OSError) as error:
        raise HeadstartError(f"{path} is not readable Parquet ({str(error).splitlines()[0]}); write it again") from None


def _require(path: Path, columns: Columns, header: list[str]) -> None:
    twice = sorted({name for name in columns.names() if header.count(name) > 1})
    if twice:
        raise HeadstartError(f"{path} has two columns named {twice[0]}; rename one")
    for name in columns.names():
        if name not in header:
            near = difflib.get_close_matches(name, header, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise HeadstartError(f"{path} has no column {name}; it has {_shorten(header)}{hint}")


def _shorten(names: Iterable[str], limit: int = 20) -> str:
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


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
