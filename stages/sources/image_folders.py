"""Folders of images: one folder per class, or the same under train, validation and test."""

import os
from collections.abc import Iterator
from pathlib import Path

from stages.common.errors import listed
from stages.sources import table_files
from stages.sources.row import SPLIT_NAMES, Row, by_split
from stages.tables import images

CLUTTER = ("thumbs.db", "desktop.ini")  # files that file managers write, beside hidden ones


def is_image_folder(data: Path, *, labelled: bool = True) -> bool:
    """Return whether `data` is a folder of images, not of tables.

    Args:
        labelled: whether the images must lie in class folders.
    """
    if not data.is_dir():
        return False
    entries = _visible(data)
    if any(path.suffix.lower() in table_files.FORMATS and path.stem.lower() in SPLIT_NAMES for path in entries):
        return False
    return any(path.is_dir() or (not labelled and images.is_image_name(path.name)) for path in entries)


def rows(folder: Path, *, labelled: bool) -> Iterator[Row]:
    """Yield one row per file: splits in order, then classes and files by name.

    A file in a class folder that is not an image, and an image outside of the class folders, become rows with a
    problem. Other files outside of the class folders are ignored.

    Raises:
        HeadstartError: there are split folders but none for train, or two for one split.
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
    """Map the folders that hold class folders to their splits, training images first."""
    inside = [path for path in _visible(folder) if path.is_dir()]
    if not all(path.name.lower() in SPLIT_NAMES for path in inside):
        return {folder: None}
    return by_split(
        ((SPLIT_NAMES[path.name.lower()], path) for path in inside),
        no_train_error=f"{folder} holds {listed(path.name for path in inside)} but no train; add it",
    )


def _files(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder, by name. Does not follow links to folders: one back up would never end."""
    for path, subfolders, files in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (Path(path, name) for name in sorted(files) if _is_visible(name))


def _row(folder: Path, path: Path, *, label: str | None, split: str | None) -> Row:
    origin = _origin(folder, path)
    content: bytes
    problem: str | None
    if images.is_image_name(path.name):
        content, problem = images.read(path)
    else:
        content, problem = (
            b"",
            f"ends in {_text(path.suffix) or 'nothing'}, which is not a suffix of an image that can be read",
        )
    return Row(origin, content, origin, label, split=split, problem=problem)


def _visible(folder: Path) -> list[Path]:
    # By name: paths themselves sort without regard to case on Windows.
    return sorted((path for path in folder.iterdir() if _is_visible(path.name)), key=lambda path: path.name)


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in CLUTTER


def _origin(folder: Path, path: Path) -> str:
    return _text(path.relative_to(folder).as_posix())


def _text(name: str) -> str:
    """Replace what is not UTF-8 in a file name, so that it can be written into a table."""
    return os.fsencode(name).decode("utf-8", "replace")
