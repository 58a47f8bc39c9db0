"""What lies directly in a folder, by kind: folders, images, other files, and what systems write."""

import os
from dataclasses import dataclass
from pathlib import Path

from stages.sources import clutter
from stages.sources.row import UNLABELLED_NAMES
from stages.tables import images


@dataclass(frozen=True)
class Inside:
    """What lies directly in a folder, by name."""

    folders: list[Path]  # with a file somewhere below
    unlabelled: list[Path]  # such folders that are named so
    empty: list[Path]  # folders without
    images: list[Path]
    others: list[Path]  # files that are no images
    clutter: list[Path]

    @classmethod
    def read(cls, folder: Path) -> "Inside":
        inside = cls([], [], [], [], [], [])
        for path, is_folder in entries(folder):
            if clutter.is_clutter(path.name):
                inside.clutter.append(path)
            elif is_folder:
                full = inside.unlabelled if path.name.lower() in UNLABELLED_NAMES else inside.folders
                (full if _holds_files(path) else inside.empty).append(path)
            else:
                (inside.images if images.is_image_name(path.name) else inside.others).append(path)
        return inside


def sub_folders(folder: Path) -> list[Path]:
    """List the folders in `folder` that are no clutter, by name."""
    return [path for path, is_folder in entries(folder) if is_folder and not clutter.is_clutter(path.name)]


def entries(folder: Path) -> list[tuple[Path, bool]]:
    """List what lies in `folder` by name, and whether it is a folder."""
    with os.scandir(folder) as unsorted:  # unlike Path.iterdir, it knows what is a folder without a look at each
        # By name: paths themselves sort without regard to case on Windows.
        return [(folder / entry.name, _is_folder(entry)) for entry in sorted(unsorted, key=lambda entry: entry.name)]


def _holds_files(folder: Path) -> bool:
    """Return whether a file that is no clutter lies anywhere below `folder`."""
    if folder.is_symlink():  # which may lead out
        return True
    # os.walk does not follow links below the top, which may lead in a circle.
    for path, folders, files in os.walk(folder):
        if any(not clutter.is_clutter(name) for name in files) or any(
            Path(path, name).is_symlink() for name in folders
        ):
            return True
        folders[:] = [name for name in folders if not clutter.is_clutter(name)]
    return False


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle
        return False
