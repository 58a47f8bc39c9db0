"""Folders of images: one sub-folder per class, or the same under train, validation and test."""

import os
from collections.abc import Iterator
from pathlib import Path

from stages.sources import table_files
from stages.sources.row import SPLIT_NAMES, Row, by_split
from stages.tables import images

CLUTTER = ("thumbs.db", "desktop.ini")  # what file managers leave behind, beside hidden files


def is_image_folder(data: Path, *, labelled: bool = True) -> bool:
    """Whether `data` is a folder of images rather than of tables.

    Args:
        labelled: whether classes, and so sub-folders, are needed.
    """
    if not data.is_dir():
        return False
    entries = _visible(data)
    if any(path.suffix.lower() in table_files.FORMATS and path.stem.lower() in SPLIT_NAMES for path in entries):
        return False
    return any(path.is_dir() or (not labelled and images.is_image_name(path.name)) for path in entries)


def rows(folder: Path, *, labelled: bool) -> Iterator[Row]:
    """Yield every file as a row: splits in order, then classes and files by name.

    Files of other kinds come out as rows with a problem inside a class folder, and are left alone beside them.

    Raises:
        HeadstartError: there are split folders but no training images, or two folders for one split.
    """
    if not labelled:
        for path in _files(folder):
            yield _row(folder, path, label=None, split=None)
        return
    for top, split in _splits(folder).items():
        for entry in _visible(top):
            if entry.is_dir():
                for path in _files(entry):
                    yield _row(folder, path, label=_text(entry.name), split=split)
            elif images.is_image_name(entry.name):
                yield Row(_origin(folder, entry), b"", problem="is in no class folder")


def _splits(folder: Path) -> dict[Path, str | None]:
    """The folders that hold class folders, with their splits, training images first."""
    inside = [path for path in _visible(folder) if path.is_dir()]
    if not all(path.name.lower() in SPLIT_NAMES for path in inside):
        return {folder: None}
    named = [(SPLIT_NAMES[path.name.lower()], path) for path in inside]
    return by_split(named, f"{folder} holds {', '.join(path.name for path in inside)} but no train; add it")


def _files(folder: Path) -> Iterator[Path]:
    # Folders behind links are left alone: a link back up would never end.
    for name, subfolders, files in os.walk(folder):
        subfolders[:] = sorted(each for each in subfolders if not each.startswith("."))
        yield from (Path(name, each) for each in sorted(files) if _is_visible(each))


def _row(folder: Path, path: Path, *, label: str | None, split: str | None) -> Row:
    origin = _origin(folder, path)
    if not images.is_image_name(path.name):
        kind = path.suffix or "nothing"
        return Row(
            origin,
            b"",
            origin,
            label,
            split=split,
            problem=f"ends in {_text(kind)}, which is no image that can be read",
        )
    content, problem = images.read(path)
    return Row(origin, content, origin, label, split=split, problem=problem)


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _is_visible(path.name))


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in CLUTTER


def _origin(folder: Path, path: Path) -> str:
    return _text(path.relative_to(folder).as_posix())


def _text(name: str) -> str:
    """File names are bytes; those that are not UTF-8 could not be written into a table."""
    return os.fsencode(name).decode("utf-8", "replace")
