"""An evaluation that is stored, in a folder or in a git revision: its rows, its metrics and its settings."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from stages.common.errors import HeadstartError
from stages.comparison import paired
from stages.comparison.paired import Scored

PREDICTIONS = "predictions.parquet"
METRICS = "metrics.json"


class MissingError(Exception):
    """There is no evaluation; the message says why."""


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` wrote, and the params.yaml beside it; empty where there is none."""

    scored: Scored
    metrics: dict[str, Any]
    settings: dict[str, Any]


def from_folder(folder: Path, params: Path | None = None) -> Evaluation:
    """The evaluation in `folder`, with the settings in the file `params`.

    Raises:
        MissingError: the folder holds none.
        HeadstartError: it is damaged.
    """

    def content(name: str) -> bytes:
        path = params if name == "params" else folder / name
        if path is None or not path.is_file():
            raise MissingError(f"{path} does not exist")
        return path.read_bytes()

    return _read(content, str(folder))


def from_revision(revision: str, folder: Path, params: Path) -> Evaluation:
    """The evaluation at `folder` in a git revision of this repository, from DVC's cache or remote.

    Nothing is checked out, and nothing is added to the cache.

    Raises:
        MissingError: the revision is unknown, has no evaluation, or DVC cannot get it.
        HeadstartError: it is damaged.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    try:
        files = DVCFileSystem(rev=revision)
        files.ls("")  # it looks for the revision no sooner
    except (DvcException, SCMError) as error:
        raise MissingError(f"git knows no revision {revision} here ({_first_line(error)})") from None

    def content(name: str) -> bytes:
        path = params if name == "params" else folder / name
        try:
            return bytes(files.read_bytes(path.as_posix()))
        except FileNotFoundError:
            raise MissingError(f"{revision} has no {path}, or neither cache nor remote has its content") from None
        except Exception as error:  # each kind of remote raises its own
            raise MissingError(f"{path} of {revision} cannot be read ({_first_line(error)})") from None

    return _read(content, revision)


def _read(content: Callable[[str], bytes], where: str) -> Evaluation:
    try:
        scored = paired.read(pq.read_table(io.BytesIO(content(PREDICTIONS))))
        found = json.loads(content(METRICS))
    except (ValueError, KeyError, RecursionError, OSError, pa.ArrowException) as error:
        raise HeadstartError(
            f"the evaluation of {where} is damaged ({_first_line(error)}); run `dvc repro` or `dvc pull` there"
        ) from None
    try:
        settings = yaml.safe_load(content("params"))
    except (MissingError, yaml.YAMLError):
        settings = {}
    return Evaluation(scored, found, settings if isinstance(settings, dict) else {})


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
