"""Extract on more than one machine: Ray's workers fill the row cache, from which extract writes the feature table.

The cache is keyed by content. So the order of results, a batch computed twice or a dead worker change nothing, and a
run that was killed resumes with the missing rows. Rows are read on the machine that runs the command, so the nodes need
no shared folder. Every node needs the weights, or a network to get them.
"""

import importlib
import os
import re
import socket
import traceback
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

import stages
from stages.backbones import deferred
from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, ExtractParams, Modality, RuntimeParams
from stages.extraction import ray_batches, rows
from stages.extraction.row_cache import RowCache

if TYPE_CHECKING:
    from stages.backbones.deferred import DeferredEncoder
    from stages.backbones.encoder import Encoder
    from stages.extraction import ray_workers

CONNECT_TIMEOUT_SECONDS = 10  # for the cluster to answer


@contextmanager
def cluster(runtime: RuntimeParams) -> Iterator["Cluster"]:
    """Join the cluster at `runtime.ray_address`, or start one on this machine, until the context ends.

    Usage statistics and the dashboard are off.

    Raises:
        HeadstartError: Ray is not installed, or there is no cluster at the address.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # failures come back as exceptions
    ray = _ray()
    # Ray would start a process for every core, of which a worker needs one.
    options: dict[str, Any] = {"include_dashboard": False, "_system_config": {"prestart_worker_first_driver": False}}
    if runtime.ray_address:
        code = {"py_modules": [str(Path(stages.__file__).parent)], "env_vars": {"RAY_USAGE_STATS_ENABLED": "0"}}
        options = {"runtime_env": code}
    try:
        _check_connection(runtime.ray_address or "")
        ray.init(
            address=runtime.ray_address or "local",
            log_to_driver=False,
            logging_level="error",
            **options,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise HeadstartError(
            f"no Ray cluster can be joined at runtime.ray_address {runtime.ray_address!r} ({_last_line(error)});"
            " start one with `ray start --head`, or set it to null"
        ) from None
    try:
        yield Cluster(is_local=runtime.ray_address is None)
    finally:
        ray.shutdown()


def _check_connection(address: str) -> None:
    """Raise OSError if nothing listens at host:port, to which Ray would try to connect for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        with socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_SECONDS):
            pass


class Cluster:
    """A Ray cluster that this process has joined."""

    def __init__(self, *, is_local: bool) -> None:
        """`is_local`: it was started on this machine, so its workers use the same cache folder."""
        self._is_local = is_local
        self._pool: ray_workers.Pool | None = None  # whose worker has loaded the backbone of the next `fill`

    @property
    def device(self) -> str:
        """The type of device that the workers use: `cuda` if the cluster has GPUs, else `cpu`."""
        return "cuda" if _ray().cluster_resources().get("GPU", 0) >= 1 else "cpu"

    def describe(self, spec: BackboneParams, settings: ExtractParams, modality: Modality) -> None:
        """Let a worker load a backbone that is not described in the cache folder, so that this process need not.

        If that fails, it is not described: then this process loads it, and says what is wrong.
        """
        from stages.extraction import ray_workers

        if self._is_local and not deferred.is_described(spec, settings, modality):
            self._pool = ray_workers.Pool(ray_workers.WorkerBackbone(spec, settings, modality))
            self._pool.load()

    def fill(
        self,
        prepared_folder: Path,
        spec: BackboneParams,
        encoder: "Encoder | DeferredEncoder",
        cache: RowCache,
        *,
        modality: Modality,
        unlabelled: Collection[str] = (),
    ) -> None:
        """Compute the vectors that the cache lacks for the rows of a prepared table, and put them there.

        Args:
            encoder: the backbone `spec` on this machine.
            unlabelled: ids of the unlabelled rows that get vectors.

        Raises:
            HeadstartError: no worker can be started, a batch killed its worker `MAX_ATTEMPTS` times, or a worker
                failed.
        """
        from ray.exceptions import RayError

        from stages.extraction import ray_workers

        backbone = ray_workers.WorkerBackbone(spec, encoder.settings, modality)
        pool, self._pool = self._pool or ray_workers.Pool(backbone), None
        total = rows.count(prepared_folder, unlabelled)
        with tqdm(total=total, desc="extract on Ray", unit=" rows", disable=None) as progress:
            batches = ray_batches.missing(
                prepared_folder,
                cache,
                modality,
                encoder.settings,
                unlabelled=unlabelled,
                advance=progress.update,
            )
            try:
                with pool:
                    for batch, records in pool.results(batches, encoder.fingerprint):
                        cache.put(batch.keys, records)
                        progress.update(len(batch.keys))
            except ray_workers.DeadlyBatchError as error:
                place = ray_batches.where(prepared_folder, error.batch)
                raise _failure(f"{place} killed its worker {ray_workers.MAX_ATTEMPTS} times") from None
            except (RayError, RuntimeError, ValueError) as error:
                free = _ray().available_resources()
                resources = f"free: {free.get('CPU', 0):g} CPUs, {free.get('GPU', 0):g} GPUs"
                raise _failure(f"{_cause(error)} ({resources})") from None


def _failure(reason: str) -> HeadstartError:
    return HeadstartError(
        f"extraction on Ray failed: {reason}; the vectors computed so far are kept, run again to resume"
    )


def _ray() -> Any:
    """Import ray, as Any: its types are incomplete."""
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise HeadstartError("runtime.engine is ray, which is not installed; pip install -e '.[ray]'") from None


def _cause(error: BaseException) -> str:
    """Give the sentence of a HeadstartError within Ray's traces, or else the last line of these."""
    sentences = re.findall(r"HeadstartError: (.+)", "".join(traceback.format_exception(error)))
    return str(sentences[-1]) if sentences else _last_line(error)


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
