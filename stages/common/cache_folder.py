"""Where Headstart keeps what no DVC output holds."""

import os
from pathlib import Path
from typing import Literal, TypeAlias

from stages.common.errors import HeadstartError

Part: TypeAlias = Literal["rows", "checkpoints", "evaluations", "locks"]


def root() -> Path:
    """$HEADSTART_CACHE, else $XDG_CACHE_HOME/headstart, else ~/.cache/headstart, whether or not it exists."""
    if own := os.environ.get("HEADSTART_CACHE"):
        return Path(own).expanduser()
    users = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:  # the specification has a relative XDG_CACHE_HOME ignored
        return (users if users.is_absolute() else Path.home() / ".cache") / "headstart"
    except RuntimeError:
        raise HeadstartError("the cache has no place, as this user has no home; set HEADSTART_CACHE") from None


def folder(part: Part) -> Path:
    """Give the folder of one kind of content, whether or not it exists."""
    return root() / part


def entries(part: Part) -> list[Path]:
    """List what lies in the folder of `part`, by name."""
    return sorted(folder(part).iterdir()) if folder(part).is_dir() else []


def size(path: Path) -> int:
    """Give the bytes of a file, or of all files below a folder; 0 for what is gone."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.exists())
