"""Paths in the cache folder, where Headstart keeps files that DVC does not track."""

import os
import re
from pathlib import Path
from typing import Literal, TypeAlias

from stages.common.errors import HeadstartError

Part: TypeAlias = Literal["rows", "checkpoints", "evaluations", "weights", "speeds", "backbones", "locks"]
NAMES: dict[Part, str] = {  # of entries, by which ours are told from files that somebody else put there
    "rows": r"[^.]+\.sqlite",
    "checkpoints": "[0-9a-f]{32}",
    "evaluations": r"[0-9a-f]{32}\.npz|\.[0-9a-f]{32}\.npz\.\d+\.tmp",
    "weights": r"[0-9a-f]{64}\.safetensors|\.[0-9a-f]{64}\.safetensors\.\d+\.tmp",
    "speeds": r"[0-9a-f]{32}\.json|\.[0-9a-f]{32}\.json\.\d+\.tmp",
    "backbones": r"[0-9a-f]{32}\.json|\.[0-9a-f]{32}\.json\.\d+\.tmp",
    "locks": r"[0-9a-f]{32}\.lock",
}


def root() -> Path:
    """Return $HEADSTART_CACHE, else $XDG_CACHE_HOME/headstart, else ~/.cache/headstart, whether or not it exists.

    Raises:
        HeadstartError: none of the three is known.
    """
    own = os.environ.get("HEADSTART_CACHE")
    users = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        if own:
            return Path(own).expanduser()
        # By the XDG specification, a relative path is ignored.
        return (users if users.is_absolute() else Path.home() / ".cache") / "headstart"
    except RuntimeError:
        user = f"the user of HEADSTART_CACHE {own!r}" if own else "this user"
        raise HeadstartError(f"{user} has no home folder to hold the cache; set HEADSTART_CACHE to a folder") from None


def is_on_way(path: str) -> bool:
    """Return whether a path, which may not exist, lies in the cache folder, or is one of the folders above it."""
    try:
        return Path(path).is_relative_to(root()) or root().is_relative_to(path)
    except HeadstartError:
        return False


def folder(part: Part) -> Path:
    """Give the folder of one kind of content, whether or not it exists."""
    return root() / part


def entries(part: Part) -> list[Path]:
    """List our files in the folder of `part`, for checkpoints our folders, by name; links are not ours."""
    paths = sorted(folder(part).iterdir()) if folder(part).is_dir() else []
    named = [path for path in paths if re.fullmatch(NAMES[part], path.name) and not path.is_symlink()]
    return [path for path in named if (path.is_dir() if part == "checkpoints" else path.is_file())]


def size(path: Path) -> int:
    """Give the bytes of a file, or of all files below a folder; 0 for a path that is gone."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.exists())
