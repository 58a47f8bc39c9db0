"""Locks between processes. The system releases them when a process ends, however it ends."""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from stages.common import cache_folder
from stages.common.errors import HeadstartError, one_line


@contextmanager
def held(target: Path, *, wait: float = 0) -> Iterator[bool]:
    """Lock `target` until the block ends, and yield whether that worked; false where another process has the lock.

    The lock is a file in the cache folder, so that nothing lies beside `target`. Where that folder cannot be written,
    nothing is locked, and a warning says so.

    Args:
        wait: seconds to wait for another process.
    """
    is_ours = True
    with ExitStack() as stack:
        try:
            path = lock_file(target)
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(path, timeout=wait))
        except Timeout:
            is_ours = False
        except (OSError, HeadstartError) as error:
            print(
                f"warning: {target} is not locked ({one_line(error)}); start nothing else that writes it, or set"
                " HEADSTART_CACHE to a folder that can be written",
                file=sys.stderr,
            )
        yield is_ours


def lock_file(target: Path) -> Path:
    """Give the lock file of `target`, which is named by a hash of the absolute path."""
    absolute = os.path.normcase(target.parent.resolve() / target.name)
    return cache_folder.folder("locks") / f"{hashlib.sha256(os.fsencode(absolute)).hexdigest()[:32]}.lock"


def clear() -> None:
    """Delete our lock files that no process holds."""
    for path in cache_folder.entries("locks"):
        with suppress(OSError), FileLock(path, timeout=0):  # filelock's Timeout is an OSError
            path.unlink()
