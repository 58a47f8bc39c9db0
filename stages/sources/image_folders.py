"""Folders of images: one folder per class, or the same under train, validation and test."""

from collections.abc import Iterator
from pathlib import Path

from stages.common.errors import listed
from stages.sources import links, table_files
from stages.sources.row import SPLIT_NAMES, Row, by_split, utf8_name
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


def rows(folder: Path, *, labelled: bool, follow_links: bool = False) -> Iterator[Row]:
    """Yield one row per file: splits in order, then classes and files by name.

    A file in a class folder that is not an image, and an image outside of the class folders, become rows with a
    problem. Other files outside of the class folders are ignored.

    Args:
        follow_links: whether links may lead out of `folder`.

    Raises:
        HeadstartError: there are split folders but none for train, or two for one split; or a link leads out.
    """
    if not labelled:
        for path in _files(folder, folder, follow_links=follow_links):
            yield _row(folder, path, label=None, split=None)
        return
    for top, split in _splits(folder).items():
        links.refuse(top, folder, follow=follow_links)
        for entry in _visible(top):
            if entry.is_dir():
                for path in _files(entry, folder, follow_links=follow_links):
                    yield _row(folder, path, label=utf8_name(entry.name), split=split)
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


def _files(top: Path, folder: Path, *, follow_links: bool) -> Iterator[Path]:
    """Yield all files below `top`, a folder in `folder` or `folder` itself, by name: files first, then sub-folders.

    A link from one sub-folder to another is not followed: its files are yielded where they lie.

    Raises:
        HeadstartError: a link leads out of `folder`, and `follow_links` is false.
    """
    pending: list[tuple[Path, frozenset[Path]]] = [(top, frozenset())]
    while pending:
        path, above = pending.pop()
        links.refuse(path, folder, follow=follow_links)
        real = path.resolve()
        if real in above:  # a link back up would never end
            continue
        subfolders = []
        for entry in sorted(path.iterdir(), key=lambda entry: entry.name):
            if entry.is_dir():
                is_link = entry.resolve() != real / entry.name
                if not entry.name.startswith(".") and (not is_link or links.leaves(entry, folder)):
                    subfolders.append(entry)
            elif _is_visible(entry.name):
                if entry.is_symlink():
                    links.refuse(entry, folder, follow=follow_links)
                yield entry
        pending += [(entry, above | {real}) for entry in reversed(subfolders)]


def _row(folder: Path, path: Path, *, label: str | None, split: str | None) -> Row:
    origin = _origin(folder, path)
    content: bytes
    problem: str | None
    if images.is_image_name(path.name):
        content, problem = images.read(path)
    else:
        content, problem = (
            b"",
            f"ends in {utf8_name(path.suffix) or 'nothing'}, which is not a suffix of an image that can be read",
        )
    return Row(origin, content, origin, label, split=split, problem=problem)


def _visible(folder: Path) -> list[Path]:
    # By name: paths themselves sort without regard to case on Windows.
    return sorted((path for path in folder.iterdir() if _is_visible(path.name)), key=lambda path: path.name)


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in CLUTTER


def _origin(folder: Path, path: Path) -> str:
    return utf8_name(path.relative_to(folder).as_posix())
