"""Read a stored evaluation from a folder or a git revision: its predictions, metrics and settings."""

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from stages.common.errors import HeadstartError, one_line
from stages.comparison import paired
from stages.comparison.paired import Predictions

PREDICTIONS = "predictions.parquet"
METRICS = "metrics.json"


class MissingError(Exception):
    """There is no evaluation; the message tells why."""


@dataclass(frozen=True)
class Evaluation:
    """The files that `evaluate` wrote, and the params.yaml beside them; no settings where that is missing."""

    predictions: Predictions
    metrics: dict[str, Any]
    settings: dict[str, Any]


def from_folder(folder: Path, params: Path | None = None) -> Evaluation:
    """Read the evaluation in `folder`, and the settings in the file `params`.

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
    """Read the evaluation at `folder` in a git revision of this repository, from DVC's cache or remote.

    Checks nothing out and adds nothing to the cache.

    Raises:
        MissingError: the revision is unknown, has no evaluation, or DVC cannot get it.
        HeadstartError: it is damaged.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    try:
        files = DVCFileSystem(rev=revision)
        files.ls("")  # the revision is not looked up before
    except (DvcException, SCMError) as error:
        raise MissingError(f"git knows no revision {revision} here ({one_line(error)})") from None

    def content(name: str) -> bytes:
        path = params if name == "params" else folder / name
        try:
            data = bytes(files.read_bytes(path.as_posix()))
            named = files.info(path.as_posix()).get("md5") if name == PREDICTIONS else None
        except FileNotFoundError:
            raise MissingError(f"{revision} has no {path}, or neither cache nor remote has its content") from None
        except Exception as error:  # every kind of remote raises its own
            raise MissingError(f"{path} of {revision} cannot be read ({one_line(error)})") from None
        if named and named != hashlib.md5(data, usedforsecurity=False).hexdigest():
            raise HeadstartError(
                f"{path} of {revision}: DVC's remote or cache has other content under its hash {named}; run `dvc repro`"
                " and `dvc push` in that revision to store it again"
            )
        return data

    return _read(content, revision)


def _read(content: Callable[[str], bytes], origin: str) -> Evaluation:
    """Parse the files that `content` returns by name; `origin` names the evaluation in errors."""
    try:
        predictions = paired.read(pq.read_table(io.BytesIO(content(PREDICTIONS))))
        metrics = json.loads(content(METRICS))
    except (ValueError, KeyError, RecursionError, OSError, pa.ArrowException) as error:
        raise HeadstartError(
            f"the evaluation of {origin} is damaged ({one_line(error)}); run `dvc repro` there"
        ) from None
    try:
        settings = yaml.safe_load(content("params"))
    except (MissingError, yaml.YAMLError):
        settings = {}
    return Evaluation(predictions, metrics, settings if isinstance(settings, dict) else {})
