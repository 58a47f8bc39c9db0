"""Extraction past one machine: Ray Data fills the row cache, and extract then writes the table from it.

So the order of results, a batch that is computed twice and a worker that dies change nothing: rows are found by the
hash of their content, and a run that was killed goes on with what is missing. Rows are read where the command runs, so
the cluster needs no shared folder; weights have to be on every node, or where it can get them.
"""

import importlib
import logging
import os
import re
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

import stages
from stages import backbones
from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, ExtractParams, Modality, RuntimeParams
from stages.extraction.row_cache import RowCache
from stages.tables import prepared, shards

if TYPE_CHECKING:
    from ray.data import Dataset

BATCH_ROWS: dict[Modality, int] = {"text": 1024, "image": 128}  # that a worker gets at a time
MAX_ATTEMPTS = 3  # at one batch; a row that kills its worker would be tried for ever
CONNECT_SECONDS = 10
WORKER_TIMEOUT_SECONDS = 120  # seconds to wait for the first worker


@dataclass(frozen=True)
class Wanted:
    """The backbone that computes, and the fingerprint that it has to have."""

    spec: BackboneParams
    settings: ExtractParams
    modality: Modality
    fingerprint: str

    def load(self) -> backbones.Backbone:
        """Load it.

        Raises:
            HeadstartError: it has other weights here.
        """
        found = backbones.load(self.spec, self.settings, RuntimeParams(), modality=self.modality)
        if found.fingerprint != self.fingerprint:
            raise HeadstartError(
                f"a node has other weights of {self.spec.name} than the machine that runs the command; copy them there"
            )
        return found


@contextmanager
def cluster(runtime: RuntimeParams) -> Iterator[None]:
    """Join the cluster at `runtime.ray_address`, or start one on this machine; leave or stop it in the end.

    No usage statistics, and no dashboard.

    Raises:
        HeadstartError: Ray is not installed, or there is no cluster at the address.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what fails comes back as an error
    ray = _ray()
    started: dict[str, Any] = {} if runtime.ray_address else {"include_dashboard": False}
    try:
        _reach(runtime.ray_address or "")
        ray.init(
            address=runtime.ray_address or "local",
            log_to_driver=False,
            logging_level="error",
            runtime_env={
                "py_modules": [str(Path(stages.__file__).parent)],
                "env_vars": {"RAY_USAGE_STATS_ENABLED": "0"},
            },
            **started,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise HeadstartError(
            f"no Ray cluster can be joined at runtime.ray_address {runtime.ray_address!r} ({_last_line(error)});"
            " start one with `ray start --head`, or set it to null"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Raise OSError where nothing listens at host:port, which Ray would try again for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        with socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS):
            pass


def device() -> str:
    """The type of the workers' devices: `cuda` where the cluster has GPUs, else `cpu`."""
    return "cuda" if _ray().cluster_resources().get("GPU", 0) >= 1 else "cpu"


def fill(prepared_folder: Path, backbone: Wanted, cache: RowCache) -> None:
    """Compute every vector that the cache lacks, and put it there.

    Raises:
        HeadstartError: no worker can be started, a batch killed its worker `MAX_ATTEMPTS` times, or a worker failed.
    """
    from ray.exceptions import RayError

    parts = list(_missing(prepared_folder, cache, backbone.modality))
    if not parts:
        return
    total = sum(len(part["rows"]) for part in parts)
    try:
        with tqdm(total=total, desc="extract on Ray", unit=" rows", disable=None) as progress:
            vectors = _vectors(parts, backbone)
            table: Any
            for table in vectors.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1):
                X = table["vector"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
                cache.put(table["key"].to_pylist(), X)
                progress.update(len(table))
    except (RayError, RuntimeError, ValueError) as error:
        found = _ray().available_resources()
        raise HeadstartError(
            f"extraction on Ray failed: {_cause(error)} (free: {found.get('CPU', 0):g} CPUs, {found.get('GPU', 0):g}"
            " GPUs); what was computed is kept, run again to go on"
        ) from None


def _missing(prepared_folder: Path, cache: RowCache, modality: Modality) -> Iterator[dict[str, Any]]:
    """For each row group of the prepared table, the rows in it whose vector the cache lacks."""
    seen: set[str] = set()
    for split in prepared.SPLITS:
        for path in shards.paths(prepared_folder / split):
            with pq.ParquetFile(path) as shard:
                for group in range(shard.num_row_groups):
                    inputs = shard.read_row_group(group, columns=[modality])[modality].to_pylist()
                    keys = [prepared.content_id(each) for each in inputs]
                    known, _ = cache.get(keys)
                    rows = [row for row in np.flatnonzero(~known).tolist() if keys[row] not in seen]
                    seen |= {keys[row] for row in rows}
                    if rows:
                        yield {"path": str(path.resolve()), "group": group, "rows": rows}


def _vectors(parts: list[dict[str, Any]], backbone: Wanted) -> "Dataset":
    """The data set of key and vector of each row."""
    ray = _ray()
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context.wait_for_min_actors_s = WORKER_TIMEOUT_SECONDS  # a run that cannot be scheduled would wait for ever
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
    attempts = ray.remote(num_cpus=0, label_selector=here)(_Attempts).remote()
    workers, resources = _workers()
    threads = int(resources["num_cpus"])
    vectors: Dataset = (
        ray.data.from_items(parts, override_num_blocks=len(parts))
        # Takes no CPU of its own: tasks that wait for one while workers hold them all would wait for ever.
        .map_batches(_read, fn_args=(backbone.modality,), batch_size=1, num_cpus=0, label_selector=here)
        .map_batches(
            _Worker,
            fn_constructor_args=(backbone, threads, str(Path.cwd()), attempts),
            batch_size=BATCH_ROWS[backbone.modality],
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers),
            **resources,
        )
    )
    return vectors


def _workers() -> tuple[int, dict[str, Any]]:
    """How many workers the cluster can hold, and what each of them takes: a GPU, or the cores of its smallest node."""
    nodes = [node["Resources"] for node in _ray().nodes() if node["Alive"]]
    if gpus := int(sum(node.get("GPU", 0) for node in nodes)):
        return gpus, {"num_gpus": 1, "num_cpus": 1}
    cpus = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
    if not cpus:
        raise HeadstartError("the Ray cluster has neither CPUs nor GPUs; add a node that has")
    return sum(each // min(cpus) for each in cpus), {"num_cpus": min(cpus)}


def _read(batch: dict[str, np.ndarray], modality: Modality) -> dict[str, Any]:
    """The wanted rows of a row group: id, source and content."""
    (path,), (group,), (rows,) = batch["path"], batch["group"], batch["rows"]
    with pq.ParquetFile(path) as shard:
        table = shard.read_row_group(int(group), columns=["id", "source", modality]).take(np.asarray(rows))
    return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}


class _Attempts:
    """How often each batch was begun and not ended, wherever its worker was."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}

    def begin(self, batch: str) -> int:
        """Count another attempt at the batch; give how many there were, this one included."""
        self._open[batch] = self._open.get(batch, 0) + 1
        return self._open[batch]

    def end(self, batch: str) -> None:
        """The batch is done. That it may be done again, with others of its task that were not, is no attempt."""
        self._open.pop(batch, None)


class _Worker:
    """A long-lived encoder: from id, source and content of rows to key and vector."""

    def __init__(self, backbone: Wanted, threads: int, folder: str, attempts: Any) -> None:
        """`folder`: where the command runs, which local weights are named relative to."""
        import torch

        if Path(folder).is_dir():
            os.chdir(folder)
        torch.set_num_threads(threads)
        self._encoder = backbone.load()
        self._backbone, self._attempts = backbone, attempts

    def __call__(self, batch: pa.Table) -> pa.Table:
        ids = batch["id"].to_pylist()
        name = f"{ids[0]} {ids[-1]}"
        if _ray().get(self._attempts.begin.remote(name)) > MAX_ATTEMPTS:
            sources = batch["source"].to_pylist()
            raise HeadstartError(
                f"one of {len(ids)} rows, {sources[0]} to {sources[-1]}, killed its worker {MAX_ATTEMPTS} times"
            )
        inputs = batch[self._backbone.modality].to_pylist()
        X = np.ascontiguousarray(self._encoder.encode(inputs), dtype=self._backbone.settings.dtype)
        self._attempts.end.remote(name)
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), X.shape[1])
        return pa.table({"key": [prepared.content_id(each) for each in inputs], "vector": vectors})


def _ray() -> Any:
    """The module ray and its part ray.data, whose types say too little."""
    try:
        importlib.import_module("ray.data")
        return importlib.import_module("ray")
    except ImportError:
        raise HeadstartError("runtime.engine is ray, which is not installed; pip install -e '.[ray]'") from None


def _cause(error: BaseException) -> str:
    """What went wrong: our own sentence, which Ray wraps into its traces, or else the last line of them."""
    own = re.findall(r"HeadstartError: (.+)", "".join(traceback.format_exception(error)))
    return str(own[-1]) if own else _last_line(error)


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
