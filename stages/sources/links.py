"""Links and paths that leave the folder of the data: a download must not bring in other files of this machine."""

import unicodedata
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from stages.common.errors import HeadstartError


def leaves(path: Path, folder: Path) -> bool:
    """Return whether `path` leads out of `folder`, through links or junctions; false for links in a circle."""
    try:
        return not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a circle, which cannot be read
        return False


def refuse(path: Path, folder: Path, *, follow: bool) -> None:
    """Raise a HeadstartError if `path` leads out of `folder`, unless links are to be followed."""
    if not follow and leaves(path, folder):
        raise HeadstartError(
            f"{path} is a link to {path.resolve()}, outside of {folder}; copy it there, or let prepare follow links"
            " with prepare.follow_links: true"
        )


def path_in(folder: Path, name: str, *, follow: bool) -> Path | None:
    """Return the path that a table in `folder` names, or None if it leaves the folder.

    Args:
        follow: whether a link may lead out of `folder`; the name itself never may.
    """
    name = _spelling(folder, name)
    path = folder / name
    inside = not Path(name).is_absolute() and ".." not in Path(name).parts
    return path if inside and (follow or not leaves(path, folder)) else None


def _spelling(folder: Path, name: str) -> str:
    """Return the name as this system may have it.

    Windows separates by backslashes, macOS takes accents apart, and tools for labelling write spaces as %20.
    """
    with_slashes = name.replace("\\", "/")
    normal = (unicodedata.normalize(form, with_slashes) for form in ("NFC", "NFD"))
    spellings = (name, with_slashes, *normal, unquote(with_slashes))
    with suppress(OSError, ValueError):  # of a name that is too long, or that holds %00
        return next((spelling for spelling in spellings if (folder / spelling).exists()), with_slashes)
    return name
