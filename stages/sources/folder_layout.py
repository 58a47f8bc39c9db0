"""The layout of a folder of labelled images: class folders, or split folders over class folders.

Beside either, and in split folders, a folder named `unlabelled` or `unlabeled` holds images without labels, as in the
data set STL-10.

The tree decides. A layout that could mean two things is refused, with the folder or the change that would work.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from stages.common.errors import HeadstartError, listed
from stages.sources import clutter, folder_contents, image_values, links, table_folders
from stages.sources.folder_contents import Inside
from stages.sources.row import SPLIT_NAMES, UNLABELLED_NAMES, by_split, meant_split
from stages.tables import images

TO_TRAIN = "move them into a new folder train in it"
MAX_DEPTH = 3  # of the folders that a refusal may suggest
MAX_SUGGESTED = 3


@dataclass(frozen=True)
class ClassFolder:
    """A folder whose files, with those in its sub-folders, are of one class."""

    path: Path
    split: str | None


@dataclass
class Layout:
    """What the folders of labelled images are."""

    classes: list[ClassFolder] = field(default_factory=list)  # splits in order, then by name
    unlabelled: list[Path] = field(default_factory=list)  # folders of images without labels, by their names
    strays: list[Path] = field(default_factory=list)  # images in no class folder
    skipped: list[tuple[Path, str]] = field(default_factory=list)  # with the reason


class _UnclearError(Exception):
    """Why a layout is refused.

    Args:
        problem: follows the folder's name.
        remedy: what to do.
        suggest: whether a folder below may be the one that was meant.
        right_folder: whether the folder is the one that was meant, wherever the search for it began.
    """

    def __init__(self, problem: str, remedy: str, *, suggest: bool = False, right_folder: bool = False) -> None:
        super().__init__(problem)
        self.problem, self.remedy, self.suggest, self.right_folder = problem, remedy, suggest, right_folder

    def sentence(self, folder: Path, remedy: str | None = None) -> HeadstartError:
        """Return the error that a user sees."""
        return HeadstartError(f"{folder} {self.problem}; {remedy or self.remedy}")


def read(folder: Path, *, follow_links: bool) -> Layout:
    """Read the layout of `folder`.

    Args:
        follow_links: whether links may lead out of `folder`.

    Raises:
        HeadstartError: it is not clear which folders are classes and which are splits, there are split folders but
            none for train, two for one split, or a link leads out.
    """
    try:
        return _read(folder, follow_links)
    except _UnclearError as error:
        better = _usable_below(folder, follow_links) if error.suggest else []
        remedy = f"set prepare.data to {' or '.join(map(str, better))}" if better else None
        raise error.sentence(folder, remedy) from None


def _read(folder: Path, follow_links: bool) -> Layout:
    top = Inside.read(folder)
    for path in top.folders + top.unlabelled:
        links.refuse(path, folder, follow=follow_links)
    named = top.folders + [path for path in top.empty if path.name.lower() not in UNLABELLED_NAMES]
    splits = {path: _split_of(path) for path in named}
    if not any(splits.values()):
        _check_plain(top)
        insides: dict[Path, tuple[str | None, Inside]] = {folder: (None, top)}
    else:
        _refuse_others(folder, splits)
        insides = {folder: (None, replace(top, folders=[]))}
        for path, split in _by_split(folder, top).items():
            insides[path] = split, Inside.read(path)
        _check_splits(folder, {path: inside for path, (_, inside) in insides.items() if path != folder})
    layout = Layout()
    for split, inside in insides.values():
        layout.strays += inside.images
        layout.skipped += _skipped(inside)
        layout.unlabelled += inside.unlabelled
        layout.classes += [ClassFolder(path, split) for path in inside.folders]
    for path in layout.unlabelled:
        links.refuse(path, folder, follow=follow_links)
    for class_folder in layout.classes:
        links.refuse(class_folder.path, folder, follow=follow_links)
        _check_class(folder, class_folder.path)
    return layout


def _skipped(inside: Inside) -> Iterator[tuple[Path, str]]:
    yield from ((path, clutter.REASON) for path in inside.clutter)
    yield from ((path, "is in no class folder") for path in inside.others)
    yield from ((path, "is an empty folder") for path in inside.empty)


def _check_plain(top: Inside) -> None:
    """Raise an _UnclearError unless the folders on top can be classes."""
    tables = [path for path in top.others if table_folders.is_table(path)]
    from_table = f", or set prepare.data to {tables[0]} if that table names images and labels" if tables else ""
    remedy = (
        "put the images of each class into a folder named after the class, and those without a label into one named"
        f" {UNLABELLED_NAMES[0]}{from_table}"
    )
    if not top.folders and top.unlabelled:
        return
    if not top.folders:
        empty = f"only empty folders ({listed(path.name for path in top.empty)})"
        raise _UnclearError(f"holds {'images but no class folders' if top.images else empty}", remedy, suggest=True)
    with_images = [path for path in top.folders if _holds_images(path)]
    if len(with_images) < 2 and not (with_images and top.unlabelled):
        problem = (
            f"holds one folder of images, {with_images[0].name}," if with_images else "holds no images in folders,"
        )
        raise _UnclearError(f"{problem} but needs one per class", remedy, suggest=bool(with_images))
    meant = {path.name: split for path in top.folders if (split := meant_split(path.name))}
    if len(meant) == len(top.folders) or ("train" in meant.values() and len(set(meant.values())) > 1):
        raise _UnclearError(
            f"holds {listed(meant)}, which look like splits",
            f"rename them to train, validation and test; or if they are classes, {TO_TRAIN}",
            right_folder=True,
        )
    if shared := _shared_names(with_images):
        raise _UnclearError(
            f"holds {listed(path.name for path in with_images)}, which all hold the folders {listed(shared)}, so either"
            " may be the classes",
            f"if {listed(shared)} are, set prepare.data to one folder, such as {with_images[0]}; if the others"
            f" are, {TO_TRAIN}",
            right_folder=True,
        )


def _shared_names(folders: list[Path]) -> list[str]:
    """Return the names of folders, if there are several, that lie in all of these folders, which hold no images."""
    shared: set[str] = set()
    for number, path in enumerate(folders):
        inside = Inside.read(path)
        names = {folder.name for folder in inside.folders if not _split_of(folder)}
        shared = shared & names if number else names
        if inside.images or len(shared) < 2:  # nearly always the first folder tells
            return []
    return sorted(shared)


def _split_of(path: Path) -> str | None:
    return SPLIT_NAMES.get(path.name.lower())


def _refuse_others(folder: Path, splits: Mapping[Path, str | None]) -> None:
    """Raise an _UnclearError if other folders lie beside split folders."""
    names = listed(path.name for path, split in splits.items() if split)
    if others := [path.name for path, split in splits.items() if not split]:
        raise _UnclearError(
            f"holds {names} and beside them {listed(others)}, which is no split (train, validation, test)",
            f"move {listed(others)} out of it; or if all are classes, {TO_TRAIN}",
            right_folder=True,
        )


def _by_split(folder: Path, top: Inside) -> dict[Path, str | None]:
    names = listed(path.name for path in top.folders) or "no images"
    empty = f" ({listed(path.name for path in top.empty)} is empty)" if top.empty else ""
    return by_split(
        ((SPLIT_NAMES[path.name.lower()], path) for path in top.folders),
        no_train_error=f"{folder} holds {names} but no train{empty}; add it",
    )


def _check_splits(folder: Path, insides: Mapping[Path, Inside]) -> None:
    """Raise an _UnclearError unless the split folders hold class folders."""
    names = {path.name for inside in insides.values() for path in inside.folders}
    for split, inside in insides.items():
        if not inside.folders and inside.unlabelled:
            continue
        if not inside.folders:
            raise _UnclearError(
                f"has images without class folders in {split.name}, so they have no labels",
                f"put those of each class into a folder {split / 'CLASS'} and those without a label into"
                f" {split / UNLABELLED_NAMES[0]}, or move {split.name} out: predict classifies images without labels",
            )
        first, *more = inside.folders
        if more and all(_split_of(path) for path in inside.folders):
            raise _UnclearError(
                f"holds the split folders {listed(path.name for path in inside.folders)} in {split.name}",
                f"move them up into {folder}",
                suggest=len(insides) == 1,
            )
        # A folder too many, as train/train/CLASS or train/images/CLASS.
        if not more and not inside.images and (len(names) == 1 or meant_split(first.name)):
            below = Inside.read(first)
            if len(below.folders) > 1 and not below.images:
                raise _UnclearError(
                    f"holds only {first.name} in {split.name}", f"move the folders in {first} up into {split}"
                )


def _check_class(folder: Path, path: Path) -> None:
    """Raise an _UnclearError if the class folder `path` holds split folders."""
    if splits := [entry.name for entry in folder_contents.sub_folders(path) if _split_of(entry)]:
        raise _UnclearError(
            f"holds {listed(splits)} in {path.relative_to(folder)}, where images of one class are expected",
            f"put class folders into split folders, as {folder / splits[0] / path.name} in place of {path / splits[0]}",
            suggest=True,
        )


def _usable_below(folder: Path, follow_links: bool) -> list[Path]:
    """List the folders below `folder`, all at the same depth, whose layout is understood."""
    level = [folder]
    for _ in range(MAX_DEPTH):
        level = [
            path for parent in level for path in folder_contents.sub_folders(parent) if not links.leaves(path, folder)
        ]
        if usable := [path for path in level if _is_usable(path, follow_links)]:
            return usable[:MAX_SUGGESTED]
    return []


def _is_usable(folder: Path, follow_links: bool) -> bool:
    """Return whether the layout of a folder is understood.

    Raises:
        HeadstartError: it is not, but it is the folder that was meant.
    """
    try:
        _read(folder, follow_links)
        return True
    except _UnclearError as error:
        if error.right_folder:
            raise error.sentence(folder) from None
        return False


def _holds_images(folder: Path) -> bool:
    """Return whether an image, by its name or its first bytes, lies anywhere below `folder`."""
    paths = (Path(path, name) for path, _, names in os.walk(folder) for name in names if not clutter.is_clutter(name))
    return any(
        images.is_image_name(path.name) or (not path.is_symlink() and image_values.is_image_file(path))
        for path in paths
    )
