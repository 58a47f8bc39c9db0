"""Read a stored evaluation from a folder or a git revision: its predictions, settings and numbers."""

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.common.errors import HeadstartError, one_line
from stages.common.yaml_text import parse
from stages.comparison import predictions
from stages.comparison.predictions import Predictions

if TYPE_CHECKING:
    from dvc.api import DVCFileSystem

NO_COMMIT = ("0" * 40, "0" * 64)  # git's name for no commit, which CI gives as the one before the first of a branch
PREDICTIONS = "predictions.parquet"
METRICS = "metrics.json"
DETAILS = "details.json"  # all numbers; before Headstart 0.2.0, metrics.json had them


class MissingError(Exception):
    """There is no evaluation; the message tells why, and `none_yet` whether none was ever made."""

    def __init__(self, reason: str, *, none_yet: bool = False) -> None:
        super().__init__(reason)
        self.none_yet = none_yet


@dataclass(frozen=True)
class Evaluation:
    """The predictions that `evaluate` wrote, and the params.yaml beside them; no settings where that is missing."""

    predictions: Predictions
    settings: dict[str, Any]


@dataclass(frozen=True)
class Baseline:
    """What the gate compares with: an evaluation, or the reason why there is none."""

    evaluation: Evaluation | None
    settings: dict[str, Any] | None = None  # params.yaml of the revision; None for a folder, and where it has none
    missing: str | None = None
    none_yet: bool = False  # whether no evaluation was ever made


def read_baseline(base: str, folder: Path, params: Path) -> Baseline:
    """Read the evaluation of a git revision, or of a folder that is not named like a revision.

    Args:
        base: the revision or folder.
        folder: of the workspace's evaluation, in the revision too.
        params: params.yaml, in the workspace and in the revision.

    Raises:
        HeadstartError: the evaluation is damaged, or params.yaml of the revision cannot be read.
    """
    # A change could bring a folder with the name of the revision that it is compared with.
    if Path(base).is_dir() and not _is_revision(base):
        try:
            return Baseline(from_folder(Path(base)))
        except MissingError as error:
            return Baseline(None, missing=str(error), none_yet=not any(Path(base).iterdir()))
    settings = None
    try:
        with _revision(base, folder, params) as content:
            settings = _settings(content, base)
            return Baseline(_read(content, base), settings)
    except MissingError as error:
        return Baseline(None, settings, missing=str(error), none_yet=error.none_yet)


def from_folder(folder: Path, params: Path | None = None) -> Evaluation:
    """Read the evaluation in `folder`, and the settings in the file `params`.

    Raises:
        MissingError: the folder holds none.
        HeadstartError: it is damaged.
    """

    def content(name: str) -> bytes:
        path = params if name == "params" else folder / name
        if path is None or not path.is_file():
            raise MissingError(f"{path} does not exist", none_yet=True)
        return path.read_bytes()

    return _read(content, str(folder))


def read_details(folder: Path) -> dict[str, Any]:
    """Read all numbers of the evaluation in `folder`, also of one that an earlier version wrote.

    Raises:
        MissingError: the folder holds none.
        HeadstartError: they are damaged.
    """
    path = folder / DETAILS
    try:
        details = json.loads((path if path.is_file() else folder / METRICS).read_bytes())
        if not {"head", "labels_saved"} <= dict(details).keys():
            if path.is_file():
                raise ValueError(f"{DETAILS} lacks head or labels_saved")
            raise MissingError(f"{path} does not exist")
    except FileNotFoundError:
        raise MissingError(f"{path} does not exist") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise damaged(str(folder), error) from None
    return dict(details)


@contextmanager
def _revision(revision: str, folder: Path, params: Path) -> Iterator[Callable[[str], bytes]]:
    """Yield a function that reads files of a git revision of this project, from git or DVC's cache or remote.

    Checks nothing out and adds nothing to the cache. The project may lie below the root of the git repository.

    Raises:
        MissingError: the revision is unknown; from the function: it has no such file, or DVC cannot get it.
    """
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo
    from dvc.scm import SCMError

    with ExitStack() as stack:
        try:
            repo = stack.enter_context(Repo())
            root = Path(repo.root_dir)
            here = repo.config
            stack.enter_context(repo.switch(revision))
            # The remotes as they are reached from here: this clone may have its own, and DVC takes a relative path for
            # one in the revision.
            for name in ("core", "remote"):
                repo.config[name] = {**repo.config.get(name, {}), **here.get(name, {})}
            files = repo.dvcfs
            files.ls("/")  # reads its dvc.yaml and params.yaml
        except NotDvcRepoError:  # a revision from before the project's folder
            raise MissingError(f"{revision} has no {folder}", none_yet=True) from None
        except DvcException as error:
            problem = (
                f"git knows no revision {revision} here" if isinstance(error, SCMError) else f"{revision} is damaged"
            )
            raise MissingError(f"{problem} ({one_line(error)})", none_yet=revision in NO_COMMIT) from None
        yield _reader(files, root, revision, folder, params)


def _reader(files: "DVCFileSystem", root: Path, revision: str, folder: Path, params: Path) -> Callable[[str], bytes]:
    """Return the function of `_revision`; `files` has the content of `root` in the revision."""

    def content(name: str) -> bytes:
        path = params if name == "params" else folder / name
        absolute = Path(os.path.normpath(Path.cwd() / path))
        if not absolute.is_relative_to(root):
            raise MissingError(f"{path} is not in the repository {root}")
        key = absolute.relative_to(root).as_posix()
        if not _is_recorded(files, key):
            others = (absolute.with_name(other) for other in (PREDICTIONS, METRICS) if name in (PREDICTIONS, METRICS))
            is_alone = not any(_is_recorded(files, other.relative_to(root).as_posix()) for other in others)
            raise MissingError(f"{revision} has no {path}", none_yet=is_alone)
        try:
            data = bytes(files.read_bytes(key))
            named = files.info(key).get("md5") if name == PREDICTIONS else None
        except FileNotFoundError:
            reason = f"neither cache nor remote has {path} of {revision}; `dvc push` it where it was made"
        except Exception as error:  # every kind of remote raises its own
            reason = f"{path} of {revision} cannot be read ({one_line(error)})"
        else:
            if named and named != hashlib.md5(data, usedforsecurity=False).hexdigest():
                raise HeadstartError(
                    f"{path} of {revision}: DVC's remote or cache has other content under its hash {named}; run"
                    " `dvc repro` and `dvc push` in that revision to store it again"
                )
            return data
        raise MissingError(reason)

    return content


def _is_recorded(files: "DVCFileSystem", path: str) -> bool:
    """Tell whether a revision has this file, in git or in its dvc.lock, whether or not its content can be got."""
    for key in (path, *map(str, PurePosixPath(path).parents)):
        with suppress(FileNotFoundError):
            info = files.info(key)
            if entry := info.get("dvc_info", {}).get("entry"):
                if entry.hash_info is not None:
                    return True
            elif key == path:
                return True
    return False


def _is_revision(name: str) -> bool:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import NoSCM, resolve_rev

    try:
        with Repo() as repo:
            return not isinstance(repo.scm, NoSCM) and bool(resolve_rev(repo.scm, name))
    except DvcException:
        return False


def _read(content: Callable[[str], bytes], origin: str) -> Evaluation:
    """Parse the files that `content` returns by name; `origin` names the evaluation in errors."""
    try:
        rows = predictions.read(pq.read_table(io.BytesIO(content(PREDICTIONS))))
    except (ValueError, KeyError, OSError, pa.ArrowException) as error:
        raise damaged(origin, error) from None
    return Evaluation(rows, _settings(content, origin) or {})


def damaged(origin: str, error: Exception) -> HeadstartError:
    """Return the error for an evaluation that cannot be read, because of `error`."""
    return HeadstartError(f"the evaluation of {origin} is damaged ({one_line(error)}); run `dvc repro` there")


def _settings(content: Callable[[str], bytes], origin: str) -> dict[str, Any] | None:
    """Read params.yaml; None where there is none.

    Raises:
        HeadstartError: it cannot be read.
    """
    reason = "it is not a mapping"
    try:
        settings = parse(content("params").decode())
        if isinstance(settings, dict):
            return settings
    except MissingError as error:
        if error.none_yet:
            return None
        reason = str(error)
    except ValueError as error:
        reason = one_line(error)
    raise HeadstartError(f"the settings of {origin} cannot be read ({reason}); correct params.yaml there")
