"""Outputs appear whole or not at all: written under a temporary name beside the target, renamed when complete."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stages.common import locks, targets
from stages.common.errors import HeadstartError
from stages.common.targets import Content

_open: set[Path] = set()  # temporary folders and files that are being written


def discard() -> None:
    """Remove half-written outputs, in a process that ends without unwinding."""
    for path in list(_open):
        with suppress(OSError):  # a thread may still be writing there
            _remove(path)


@contextmanager
def directory(target: Path, content: Content | None) -> Iterator[Path]:
    """Yield an empty folder that becomes `target` when the block ends without an error.

    Until then, and if the block fails, the earlier `target` stays as it was. A second process that writes the same
    target is refused.

    Args:
        target: the folder to write.
        content: the files that the verb writes, by which an earlier output is recognised; None if it replaces nothing.

    Raises:
        HeadstartError: another process is writing `target`, or something else than an output of the verb is there.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.name}.tmp"
    with locks.held(target) as is_ours:
        if not is_ours:
            raise HeadstartError(f"{target} is being written by another process; wait until it ends, or stop it")
        _open.add(temporary)
        try:
            _remove(temporary)  # left by a killed process
            temporary.mkdir()
            yield temporary
            targets.check_folder(target, content)
            _swap(temporary, target)
        except BaseException:
            _remove(temporary)
            raise
        finally:
            _open.discard(temporary)


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


def _swap(temporary: Path, target: Path) -> None:
    """Rename `temporary` to `target`; put the earlier `target` back if that fails, as Windows may have files open."""
    replaced = target.parent / f".{target.name}.old"
    _remove(replaced)
    if target.exists():
        if (target / targets.KEPT).is_file():
            shutil.copy2(target / targets.KEPT, temporary)
        target.rename(replaced)
    try:
        temporary.rename(target)
    except OSError:
        if replaced.exists():
            replaced.rename(target)
        raise
    _remove(replaced)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
