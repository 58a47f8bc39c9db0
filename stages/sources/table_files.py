"""Tables of texts, image paths or image bytes: one file, or a folder with one per split or several shards of one.

A file that cannot be divided into rows (ragged lines, wrong encoding, damage) is an error that names the line.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from stages.common.errors import HeadstartError
from stages.common.params import Modality
from stages.sources import delimited, json_files, links, parquet_files, spreadsheets, table_rows, text_files
from stages.sources.row import SPLIT_NAMES, Columns, Reading, Row, by_split, utf8_name

TEXT_FORMATS = (*delimited.SUFFIXES, *json_files.SUFFIXES)
FORMATS = (*TEXT_FORMATS, *parquet_files.SUFFIXES, *spreadsheets.SUFFIXES)
ANY_FORMAT = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
SHARD = re.compile(r"(?P<split>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})")  # as the Hugging Face hub names shards


def rows(data: Path, columns: Columns, modality: Modality, reading: Reading) -> Iterator[Row]:
    """Yield every row of a table, or of a folder of tables named train, validation and test, in order.

    JSON files of other names, which describe data as often as they hold them, become rows that are skipped.
    """
    for path in _visible(data):
        if _may_describe(path):
            yield Row(utf8_name(path.name), "", problem="is JSON that its name gives to no split", skipped=True)
    for path, split in tables(data).items():
        if data.is_dir():
            links.refuse(path, data, follow=reading.follow_links)
        folder = table_rows.ImageFolder(path.parent, reading.follow_links) if modality == "image" else None
        for number, record in records(path, columns, reading):
            yield table_rows.row(f"{utf8_name(path.name)}:{number}", record, columns, split, folder)


def records(path: Path, columns: Columns, reading: Reading) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number, column values) for each row; the number is a line in the file, or a row, from 1."""
    read: Callable[[Path, Columns, Reading], Iterator[tuple[int, dict[str, Any]]]]
    match text_files.suffix(path):
        case suffix if suffix in parquet_files.SUFFIXES:
            read = parquet_files.records
        case suffix if suffix in json_files.SUFFIXES:
            read = json_files.records
        case suffix if suffix in spreadsheets.SUFFIXES:
            read = spreadsheets.records
        case _:
            read = delimited.records
    return read(path, columns, reading)


def is_table(path: Path) -> bool:
    """Return whether the suffix is of a format that can be read; text formats may be compressed."""
    compressed = path.suffix.lower() in text_files.COMPRESSED
    return text_files.suffix(path) in (TEXT_FORMATS if compressed else FORMATS)


def split_of(path: Path) -> str | None:
    """Return the split that the name of a table or shard tells; None if it tells none."""
    return SPLIT_NAMES.get(_name(path))


def tables(data: Path) -> dict[Path, str | None]:
    """Map the table files in `data` to the splits that their names tell, training rows first.

    Raises:
        HeadstartError: `data` does not exist, is neither a table nor a folder of tables, holds no training rows, or
            lacks a shard.
    """
    if data.is_dir():
        return _split_tables(data)
    if not data.is_file():
        problem = "is not a file" if data.exists() else "does not exist"
        raise HeadstartError(f"{data} {problem}; set prepare.data to a {ANY_FORMAT} file or a folder of them")
    if not is_table(data):
        raise HeadstartError(
            f"{data} ends in {data.suffix or 'nothing'}, but must end in {ANY_FORMAT}; text formats may be compressed"
            f" ({', '.join(text_files.COMPRESSED)})"
        )
    return {data: None}


def _split_tables(folder: Path) -> dict[Path, str | None]:
    """Map the tables in a folder to the splits of their names; files of other formats are ignored."""
    shards: dict[str, list[Path]] = {}
    for path in _visible(folder):
        if not is_table(path) or _may_describe(path):
            continue
        split = split_of(path)
        if split is None:
            raise HeadstartError(
                f"{path} is named {_name(path)}, but a table in a folder must be named train, validation or test"
            )
        shards.setdefault(f"{split}/{_series(path)}", []).append(path)
    first = ((series.partition("/")[0], paths[0]) for series, paths in shards.items())
    error = f"{folder} holds no train{{{','.join(FORMATS)}}}; add one, or set prepare.data to a table"
    order = by_split(first, no_train_error=error)
    all_shards = {paths[0]: paths for paths in shards.values()}
    return {path: split for start, split in order.items() for path in _complete(all_shards[start])}


def _visible(folder: Path) -> list[Path]:
    """List what is in a folder by name, without hidden files; nothing for a file."""
    paths = folder.iterdir() if folder.is_dir() else ()
    return sorted((path for path in paths if not path.name.startswith(".")), key=lambda path: path.name)


def _may_describe(path: Path) -> bool:
    return text_files.suffix(path) == ".json" and is_table(path) and split_of(path) is None


def _name(path: Path) -> str:
    """Return the name of a table in lower case, without suffixes and the number of a shard."""
    name = path.name.lower()
    if path.suffix.lower() in text_files.COMPRESSED:
        name = name.removesuffix(path.suffix.lower())
    name = name.removesuffix(text_files.suffix(path))
    shard = SHARD.fullmatch(name)
    return shard["split"] if shard else name


def _series(path: Path) -> str:
    """Return what all shards of one table have in common."""
    return SHARD.sub(r"\g<split>-of-\g<count>", path.name)


def _complete(paths: list[Path]) -> list[Path]:
    """Return the shards of a table, or its one file.

    Raises:
        HeadstartError: a shard is missing.
    """
    if shard := SHARD.match(paths[0].name):
        numbers = {int(match["number"]) for path in paths if (match := SHARD.match(path.name))}
        if missing := sorted(set(range(int(shard["count"]))) - numbers):
            name = SHARD.sub(rf"\g<split>-{missing[0]:05d}-of-\g<count>", paths[0].name)
            raise HeadstartError(f"{paths[0].parent} lacks the shard {name}; add it")
    return paths
