"""Folders of tables, one per split: files, shards of one, or folders of shards, as data sets of the hub are."""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from stages.common.errors import HeadstartError, listed
from stages.sources import delimited, json_files, parquet_files, spreadsheets, text_files
from stages.sources.row import SPLIT_NAMES, UNLABELLED_NAMES, by_split
from stages.tables import images
from stages.tables.prepared import UNLABELLED

TEXT_FORMATS = (*delimited.SUFFIXES, *json_files.SUFFIXES)
FORMATS = (*TEXT_FORMATS, *parquet_files.SUFFIXES, *spreadsheets.SUFFIXES)
# As the Hugging Face hub names shards, formerly with a part of their hash.
SHARD = re.compile(r"(?P<split>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(-[0-9a-f]{16})?")

MAX_PEEK_FILES = 100
TABLE_NAMES = SPLIT_NAMES | dict.fromkeys(UNLABELLED_NAMES, UNLABELLED)


def is_table(path: Path) -> bool:
    """Return whether the suffix is of a format that can be read; text formats may be compressed."""
    compressed = path.suffix.lower() in text_files.COMPRESSED
    return text_files.suffix(path) in (TEXT_FORMATS if compressed else FORMATS)


def holds_tables(folder: Path) -> bool:
    """Return whether a folder, or one below it, holds tables of splits and no images."""
    return bool([path for path in _visible(folder) if _split_of(path)] or _split_folders(folder) or _below(folder))


def tables(folder: Path) -> dict[Path, str | None]:
    """Map the tables in a folder to the splits of their names, training rows first; other files are ignored.

    Raises:
        HeadstartError: a name tells no split, two tables hold one split, none holds train, a shard is missing, or
            tables lie beside folders of tables.
    """
    folders = _split_folders(folder)
    if folders:
        if loose := [path.name for path in _visible(folder) if _split_of(path)]:
            raise HeadstartError(
                f"{folder} holds {listed(loose)} beside {listed(path.name for path in folders)} with tables; move one"
                " kind out of it"
            )
        paths = by_split(((split, path) for path, split in folders.items()), no_train_error=_no_train(folder))
        return {path: split for top, split in paths.items() for path in _visible(top) if is_table(path)}
    shards: dict[tuple[str, str], list[Path]] = {}
    for path in _visible(folder):
        if is_table(path) and not may_describe(path):
            split = _split_of(path)
            if split is None:
                raise HeadstartError(
                    f"{path} is named {_name(path)}, but a table in a folder must be named train, validation, test or"
                    " unlabelled"
                )
            series = SHARD.sub(r"\g<split>-of-\g<count>", path.name)
            shards.setdefault((split, series), []).append(path)
    first = {paths[0]: paths for paths in shards.values()}
    order = by_split(
        ((split, paths[0]) for (split, _), paths in shards.items()),
        no_train_error=_no_train(folder),
    )
    return {path: split for start, split in order.items() for path in _complete(first[start])}


def train_name(path: Path) -> str:
    """Return the name that a table, alone in a folder, has as the one of the training rows."""
    kind = text_files.suffix(path)
    compression = path.suffix if path.suffix.lower() in text_files.COMPRESSED else ""
    return f"train{'.csv' if kind == delimited.SUFFIX_ALONE else kind}{compression.lower()}"


def described(folder: Path) -> Iterator[Path]:
    """Yield the JSON files of a folder that describe its data rather than hold it, as far as their names tell."""
    return (path for path in _visible(folder) if may_describe(path))


def may_describe(path: Path) -> bool:
    """Return whether a file is JSON whose name tells no split."""
    return is_table(path) and text_files.suffix(path) == ".json" and _split_of(path) is None


def _visible(folder: Path) -> list[Path]:
    """List what is in a folder by name, without hidden files and Excel's locks; nothing for a file."""
    paths = folder.iterdir() if folder.is_dir() else ()
    return sorted((path for path in paths if not path.name.startswith((".", "~$"))), key=lambda path: path.name)


def _split_folders(folder: Path) -> dict[Path, str]:
    """Map the sub-folders that hold tables, and neither images nor folders, and are named as splits, to these."""
    named = {path: TABLE_NAMES[path.name.lower()] for path in _visible(folder) if path.name.lower() in TABLE_NAMES}
    return {
        path: split
        for path, split in named.items()
        if any(map(is_table, inside := _visible(path)))
        and not any(entry.is_dir() or images.is_image_name(entry.name) for entry in inside)
    }


def _below(folder: Path) -> list[Path]:
    """List the sub-folders that hold tables of splits, and no images, as far as their first files tell."""
    start = {path: list(islice(path.iterdir(), MAX_PEEK_FILES)) for path in _visible(folder) if path.is_dir()}
    return [
        path
        for path, files in start.items()
        if (any(map(_split_of, files)) or _split_folders(path))
        and not any(images.is_image_name(file.name) for file in files)
    ]


def _no_train(folder: Path) -> str:
    inner = _below(folder)
    fix = f"set prepare.data to {inner[0]}" if inner else "add one, or set prepare.data to a table"
    return f"{folder} holds no train{{{','.join(FORMATS)}}}; {fix}"


def _split_of(path: Path) -> str | None:
    """Return the split that the name of a table or shard tells; None if it tells none."""
    return TABLE_NAMES.get(_name(path)) if is_table(path) else None


def _name(path: Path) -> str:
    """Return the name of a table in lower case, without suffixes and the number of a shard."""
    name = path.name.lower()
    if path.suffix.lower() in text_files.COMPRESSED:
        name = name.removesuffix(path.suffix.lower())
    name = name.removesuffix(text_files.suffix(path))
    shard = SHARD.fullmatch(name)
    return shard["split"] if shard else name


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
