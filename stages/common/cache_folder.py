"""Paths in the cache folder, where Headstart keeps files that DVC does not track."""

import os
from pathlib import Path
from typing import Literal, TypeAlias

from stages.common.errors import HeadstartError

Part: TypeAlias = Literal["rows", "checkpoints", "evaluations", "locks"]


def root() -> Path:
    """Return $HEADSTART_CACHE, else $XDG_CACHE_HOME/headstart, else ~/.cache/headstart, whether or not it exists.

    Raises:
        HeadstartError: none of the three is known.
    """
    if own := os.environ.get("HEADSTART_CACHE"):
        return Path(own).expanduser()
    users = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:  # by the XDG specification, a relative path is ignored
        return (users if users.is_absolute() else Path.home() / ".cache") / "headstart"
    except RuntimeError:
        raise HeadstartError(
            "this user has no home folder to hold the cache; set HEADSTART_CACHE to a folder"
        ) from None


def folder(part: Part) -> Path:
    """Give the folder of one kind of content, whether or not it exists."""
    return root() / part


def entries(part: Part) -> list[Path]:
    """List the files and folders in the folder of `part`, by name."""
    return sorted(folder(part).iterdir()) if folder(part).is_dir() else []


def size(path: Path) -> int:
    """Give the bytes of a file, or of all files below a folder; 0 for a path that is gone."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.exists())
