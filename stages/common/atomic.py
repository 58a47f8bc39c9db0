"""Outputs appear whole or not at all: written under a temporary name beside the target, renamed when complete."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stages.common.errors import HeadstartError

_open: set[Path] = set()  # temporary folders and files that are being written


def discard() -> None:
    """Remove what is half-written, in a process that ends without unwinding."""
    for path in list(_open):
        with suppress(OSError):  # a thread may still be writing there
            _remove(path)


@contextmanager
def directory(target: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `target` when the block ends without an error.

    The earlier `target` stays as it was until then, and for good when the block fails. A second process that
    writes the same target is refused: the temporary folder is locked while it is written.

    Raises:
        HeadstartError: another process is writing `target`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.name}.tmp"
    lock = _lock(temporary, target)
    _open.add(temporary)
    try:
        for leftover in temporary.iterdir():
            _remove(leftover)
        yield temporary
        replaced = target.parent / f".{target.name}.old"
        _remove(replaced)
        if target.exists():
            target.rename(replaced)
        temporary.rename(target)
        _remove(replaced)
    except BaseException:
        _remove(temporary)
        raise
    finally:
        _open.discard(temporary)
        os.close(lock)


@contextmanager
def file(target: Path) -> Iterator[Path]:
    """Yield a path whose content becomes `target` when the block ends without an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.name}.{os.getpid()}.tmp"
    _open.add(temporary)
    try:
        yield temporary
        temporary.replace(target)
    finally:
        _open.discard(temporary)
        temporary.unlink(missing_ok=True)


def _lock(temporary: Path, target: Path) -> int:
    """Create `temporary` and lock it. The lock sits on the folder itself, so no lock file is left behind."""
    while True:
        temporary.mkdir(exist_ok=True)
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise HeadstartError(
                f"{target} is being written by another process; wait until it ends, or stop it"
            ) from None
        # Between mkdir and flock the other process may have renamed this very folder to its target.
        if temporary.exists() and os.path.samestat(os.fstat(descriptor), temporary.stat()):
            return descriptor
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
