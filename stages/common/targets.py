"""What a verb may write and replace: its own earlier output, an empty folder, or nothing; never data of anyone else."""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path
from typing import NoReturn

from stages.common.errors import HeadstartError

LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")  # that file browsers leave
KEPT = ".gitignore"  # which DVC writes beside outputs; it stays when they are replaced

IsOwn = Callable[[Path], bool]


@dataclass(frozen=True)
class Content:
    """The files that a verb writes into its folder, by which it recognises an earlier output.

    `files` maps patterns of paths in the folder, where `*` stands for any name, to a function that tells from a file's
    content whether the verb wrote it, or to None where the name is all that is known. A folder with files needs one
    that such a function recognises.
    """

    verb: str
    files: Mapping[str, IsOwn | None]


def check_folder(target: Path, content: Content | None, inputs: Iterable[Path] = ()) -> None:
    """Check that a verb may write the folder `target`, and replace what is there.

    Args:
        target: the folder to write.
        content: the files that the verb writes; None for a verb that replaces nothing.
        inputs: files and folders that the verb reads.

    Raises:
        HeadstartError: `target` cannot be written, or holds anything but an earlier output of the verb.
    """
    remedy = "name another folder"
    _check_path(target, inputs, remedy)
    if not os.path.lexists(target):
        return
    if content is None:
        raise HeadstartError(f"{target} exists and is never overwritten; delete it or {remedy}")
    if target.is_symlink() or not target.is_dir():
        kind = "link" if target.is_symlink() else "file"
        raise HeadstartError(f"{target} is a {kind}, which is not replaced; delete it, or {remedy}")
    if os.path.ismount(target):
        raise HeadstartError(f"{target} is a mount point, which cannot be replaced; name a folder in it")
    if foreign := _foreign_entry(target, content):
        raise HeadstartError(
            f"{target} is not replaced, as {content.verb} did not write {foreign}; move or delete that, or {remedy}"
        )


def check_file(target: Path, is_own: IsOwn, *, verb: str, inputs: Iterable[Path] = ()) -> None:
    """Check that a verb may write the file `target`, and replace what is there.

    Args:
        target: the file to write.
        is_own: tells whether the verb wrote an existing file.
        verb: its name.
        inputs: files and folders that the verb reads.

    Raises:
        HeadstartError: `target` cannot be written, or is anything but an earlier output of the verb.
    """
    remedy = "name another file"
    _check_path(target, inputs, remedy)
    if not os.path.lexists(target):
        return
    if target.is_symlink() or not target.is_file():
        kind = "link" if target.is_symlink() else "folder" if target.is_dir() else "device"
        raise HeadstartError(f"{target} is a {kind}, which is not replaced; {remedy}")
    if not is_own(target):
        raise HeadstartError(f"{target} is not replaced, as {verb} did not write it; delete it, or {remedy}")


def _check_path(target: Path, inputs: Iterable[Path], remedy: str) -> None:
    """Raise a HeadstartError if `target` cannot exist, is or holds what must stay, or lies in an input."""
    missing = list(takewhile(lambda path: not os.path.lexists(path), target.parents))
    nearest = target.parents[len(missing)] if target.parents else target
    if not nearest.is_dir():
        raise HeadstartError(f"{target} cannot be written, as {nearest} is not a folder; {remedy}")
    temporary = f".{target.name}.{os.getpid()}.tmp"  # the longest name that `atomic` gives
    for path in (target, nearest / temporary, *(nearest / parent.name for parent in missing)):
        try:
            path.lstat()
        except FileNotFoundError:
            pass
        except OSError as error:
            raise HeadstartError(f"{target} cannot be written ({error.strerror}); {remedy}") from None
    place = target.resolve() if target.name in ("", "..") else target.parent.resolve() / target.name
    protected = {"the project": Path.cwd(), **{f"the input {path}": path for path in inputs}}
    with suppress(RuntimeError):  # a user without a home
        protected["the home folder"] = Path.home()
    for name, path in protected.items():
        if _is_within(path.absolute(), place) or _is_within(Path(os.path.realpath(path)), place):
            raise HeadstartError(f"{target} would replace {name}; {remedy}")
    for path in inputs:
        if _is_within(place, path):
            raise HeadstartError(f"{target} lies in the input {path}, which must not change; {remedy}")


def _is_within(path: Path, folder: Path) -> bool:
    """Tell whether the absolute `path` is `folder` or lies in it, by whatever name the folder is called."""
    return any(_are_same(part, folder) for part in (path, *path.parents))


def _are_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:  # one of them does not exist
        return False


def _foreign_entry(target: Path, content: Content) -> Path | None:
    """Find a file or folder in `target` that the verb did not write; None if all are its own."""
    unrecognised: Path | None = None  # a file of a known name
    is_recognised = False
    for parent, folders, files in os.walk(target, onerror=_raise):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for name in sorted({*files, *links} - {*LITTER}):
            path = Path(parent, name)
            parts = path.relative_to(target).parts
            if parts == (KEPT,) and path.is_file():
                continue
            pattern = next((pattern for pattern in content.files if _matches(parts, pattern.split("/"))), None)
            is_own = content.files[pattern] if pattern else None
            if pattern is None or name in links or (is_own and not is_own(path)):
                return path
            is_recognised |= is_own is not None
            unrecognised = path
        for name in sorted({*folders} - {*links}):
            parts = Path(parent, name).relative_to(target).parts
            if not any(_matches(parts, pattern.split("/")[:-1][: len(parts)]) for pattern in content.files):
                return Path(parent, name)
    return None if is_recognised else unrecognised


def _matches(parts: tuple[str, ...], pattern: list[str]) -> bool:
    return len(parts) == len(pattern) and all(map(fnmatchcase, parts, pattern))


def _raise(error: OSError) -> NoReturn:
    raise error
