"""Links that leave the folder of the data: a downloaded folder must not bring in other files of this machine."""

from pathlib import Path

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
