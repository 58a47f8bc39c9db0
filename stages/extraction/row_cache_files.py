"""List, lock and delete the files of the row cache: one SQLite database per backbone in `rows/` of the cache folder."""

import re
import sqlite3
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import NamedTuple

from filelock import ReadWriteLock, Timeout

from stages.common import cache_folder
from stages.common.errors import HeadstartError

LOCK_TIMEOUT_SECONDS = 60  # to wait for a transaction of another process


class Usage(NamedTuple):
    """What the file of one backbone holds; `used`: its last use, in seconds since 1970."""

    fingerprint: str
    rows: int
    bytes: int
    used: float


def folder() -> Path:
    """Return the folder of the files, whether or not it exists."""
    return cache_folder.folder("rows")


def info() -> list[Usage]:
    """List the contents of the files, the least recently used first; a damaged one counts as 0 rows."""
    usages = []
    for used, size, path in by_last_use():
        rows = 0
        with suppress(sqlite3.Error, OSError), ExitStack() as stack:
            stack.enter_context(lock(path).read_lock())
            connection = stack.enter_context(closing(sqlite3.connect(path, timeout=LOCK_TIMEOUT_SECONDS)))
            rows = connection.execute("SELECT coalesce(sum(length(keys)), 0) / 16 FROM batches").fetchone()[0]
        usages.append(Usage(path.stem, rows, size, used))
    return usages


def clear() -> tuple[int, int]:
    """Delete the files that no process has open; give their number and their bytes."""
    sizes = [size for _, size, path in by_last_use() if delete(path)]
    return len(sizes), sum(sizes)


def by_last_use() -> list[tuple[float, int, Path]]:
    """List last use, bytes and path of the files, the least recently used first."""
    files = []
    for path in filter(_is_ours, cache_folder.entries("rows")):
        with suppress(FileNotFoundError):
            size = sum(part.stat().st_size for part in _parts(path) if part.exists())
            files.append((path.stat().st_mtime, size, path))
    return sorted(files)


def _is_ours(path: Path) -> bool:
    """Tell whether RowCache made a file: it is named by a fingerprint, or its lock lies beside it."""
    return bool(re.fullmatch("[0-9a-f]{64}(-[a-z]+)?", path.stem)) or path.with_suffix(".lock").is_file()


def _parts(path: Path) -> list[Path]:
    """List what SQLite keeps for a database; the log last, as it is ignored without its database."""
    return [path, *(path.with_name(path.name + ending) for ending in ("-journal", "-shm", "-wal"))]


def delete(path: Path) -> bool:
    """Delete a file unless a process has it open: on closing it, SQLite would delete the log of its successor by name.

    Returns:
        Whether it was deleted.
    """
    try:
        with lock(path).write_lock(blocking=False):
            for part in _parts(path):
                part.unlink(missing_ok=True)
    except Timeout:
        return False
    except (OSError, sqlite3.Error) as error:
        raise unusable(path, error) from None
    return True


def lock(path: Path) -> ReadWriteLock:
    """Return the lock of a file: processes that have it open share it, one that deletes it holds it alone."""
    return ReadWriteLock(path.with_suffix(".lock"), is_singleton=False)


def unusable(path: Path, error: Exception) -> HeadstartError:
    """Return the error for a file that cannot be read, written or deleted."""
    reason = getattr(error, "strerror", None) or error
    remedy = "free space on its disk, set HEADSTART_CACHE to another folder, or runtime.row_cache: false"
    return HeadstartError(f"the row cache {path} cannot be used ({reason}); {remedy}")
