"""Folders of images: one folder per class, or the same under train, validation and test."""

from collections.abc import Iterator
from pathlib import Path

from stages.common.errors import counted, listed
from stages.sources import clutter, folder_contents, folder_layout, image_values, links, table_folders
from stages.sources.row import UNLABELLED_NAMES, Row, utf8_name
from stages.tables import images


def is_image_folder(data: Path) -> bool:
    """Return whether `data` is a folder of images, not of tables."""
    if not data.is_dir() or table_folders.holds_tables(data):
        return False
    entries = [path for path in data.iterdir() if not clutter.is_clutter(path.name)]
    return any(path.is_dir() or images.is_image_name(path.name) or image_values.is_image_file(path) for path in entries)


def rows(folder: Path, *, labelled: bool, follow_links: bool = False) -> Iterator[Row]:
    """Yield one row per file: splits in order, then classes and files by name; unlabelled ones last.

    A file in a class folder that is not an image, and an image outside of the class folders, become rows with a
    problem. What systems write beside images, other files outside of the class folders and empty folders are yielded
    as skipped.

    Args:
        follow_links: whether links may lead out of `folder`.

    Raises:
        HeadstartError: the layout is not understood (see `folder_layout.read`), or a link leads out.
    """
    if not labelled:
        yield from _rows(folder, folder, label=None, split=None, follow_links=follow_links)
        return
    layout = folder_layout.read(folder, follow_links=follow_links)
    for path, reason in layout.skipped:
        yield _skipped(folder, path, reason)
    for path in layout.strays:
        problem = f"is in no class folder; without a label, it belongs into a folder {UNLABELLED_NAMES[0]}"
        yield Row(_origin(folder, path), b"", problem=problem)
    for entry in layout.classes:
        label = utf8_name(entry.path.name)
        yield from _rows(folder, entry.path, label=label, split=entry.split, follow_links=follow_links)
    for path in layout.unlabelled:
        yield from _rows(folder, path, label=None, split=None, follow_links=follow_links)


def remarks(folder: Path, *, follow_links: bool) -> Iterator[str]:
    """Yield sentences on what the reader did with class folders that hold folders, and with folders without labels."""
    layout = folder_layout.read(folder, follow_links=follow_links)
    nested = [(entry.path, inner) for entry in layout.classes for inner in folder_contents.sub_folders(entry.path)[:1]]
    if nested:
        path, inner = nested[0]
        folders = f"{counted(len(layout.classes), 'class folder')} {'holds' if len(nested) == 1 else 'hold'} folders"
        yield f"{len(nested):,} of {folders}, such as {inner}; their images are of the class above, here {path.name}"
    if layout.unlabelled:
        yield (
            f"images in {listed(map(str, layout.unlabelled))} have no label; if that is the name of a class, rename the"
            " folder"
        )


def _rows(folder: Path, top: Path, *, label: str | None, split: str | None, follow_links: bool) -> Iterator[Row]:
    """Yield a row for every file below `top`."""
    for path in _files(top, folder, follow_links=follow_links):
        if clutter.is_clutter(path.name):
            yield _skipped(folder, path, clutter.REASON)
        else:
            yield _row(folder, path, label=label, split=split)


def _files(top: Path, folder: Path, *, follow_links: bool) -> Iterator[Path]:
    """Yield all files below `top`, a folder in `folder` or `folder` itself, by name: files first, then sub-folders.

    Folders that are clutter are yielded as well, as one path each. A link from one sub-folder to another is not
    followed: its files are yielded where they lie.

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
        for entry, is_folder in folder_contents.entries(path):
            if clutter.is_clutter(entry.name):
                yield entry
            elif is_folder:
                is_link = entry.resolve() != real / entry.name
                if not is_link or links.leaves(entry, folder):
                    subfolders.append(entry)
            else:
                if entry.is_symlink():
                    links.refuse(entry, folder, follow=follow_links)
                yield entry
        pending += [(entry, above | {real}) for entry in reversed(subfolders)]


def _row(folder: Path, path: Path, *, label: str | None, split: str | None) -> Row:
    origin = _origin(folder, path)
    content: bytes
    problem: str | None
    if images.is_image_name(path.name) or image_values.is_image_file(path):
        content, problem = images.read(path)
    else:
        content, problem = (
            b"",
            f"ends in {utf8_name(path.suffix) or 'nothing'}, which is not a suffix of an image that can be read",
        )
    return Row(origin, content, origin, label, split=split, problem=problem)


def _skipped(folder: Path, path: Path, reason: str) -> Row:
    return Row(_origin(folder, path), b"", problem=reason, skipped=True)


def _origin(folder: Path, path: Path) -> str:
    return utf8_name(path.relative_to(folder).as_posix())
