"""Extract on more than one machine: Ray Data fills the row cache, from which extract then writes the feature table.

The cache is keyed by content. So the order of results, a batch computed twice or a dead worker change nothing, and a
run that was killed resumes with the missing rows. Rows are read on the machine that runs the command, so the nodes need
no shared folder. Every node needs the weights, or a network to get them.
"""

import importlib
import logging
import os
import re
import socket
import traceback
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

import stages
from stages import backbones
from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, ExtractParams, Modality, RuntimeParams
from stages.extraction import encode
from stages.extraction.row_cache import RowCache
from stages.tables import prepared, shards

if TYPE_CHECKING:
    from ray.data import Dataset

    from stages.backbones.encoder import Encoder

# Rows that a worker gets at a time. Of texts as many as in a window of the local engine: of fewer, few have the same
# length, so that the network runs on small batches.
BATCH_ROWS: dict[Modality, int] = {"text": prepared.WINDOW_ROWS["text"], "image": 128}
MAX_ATTEMPTS = 3  # at a batch; without a limit, a row that kills its worker would be tried for ever
CONNECT_TIMEOUT_SECONDS = 10  # for the cluster to answer
WORKER_TIMEOUT_SECONDS = 120  # for the first worker to start


@dataclass(frozen=True)
class WorkerBackbone:
    """The backbone that workers load, and the fingerprint that it must have."""

    spec: BackboneParams
    settings: ExtractParams
    modality: Modality
    fingerprint: str

    def load(self) -> backbones.Backbone:
        """Load it on a node.

        Raises:
            HeadstartError: the node has other weights.
        """
        backbone = backbones.load(self.spec, self.settings, RuntimeParams(), modality=self.modality)
        if backbone.fingerprint != self.fingerprint:
            raise HeadstartError(
                f"a node has other weights of {self.spec.name} than the machine that runs the command; copy them there"
            )
        return backbone

    def columns(self) -> list[str]:
        """List the columns of the prepared table that it encodes."""
        return [*prepared.input_columns(self.modality, self.settings.combine)]

    def inputs(self, table: pa.Table) -> list[Any]:
        """List what it encodes of the rows of a table with these columns."""
        return prepared.inputs(table, self.modality, combine=self.settings.combine)


@contextmanager
def cluster(runtime: RuntimeParams) -> Iterator[None]:
    """Join the cluster at `runtime.ray_address`, or start one on this machine, until the context ends.

    Usage statistics and the dashboard are off.

    Raises:
        HeadstartError: Ray is not installed, or there is no cluster at the address.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # failures come back as exceptions
    ray = _ray()
    options: dict[str, Any] = {} if runtime.ray_address else {"include_dashboard": False}
    try:
        _check_connection(runtime.ray_address or "")
        ray.init(
            address=runtime.ray_address or "local",
            log_to_driver=False,
            logging_level="error",
            runtime_env={
                "py_modules": [str(Path(stages.__file__).parent)],
                "env_vars": {"RAY_USAGE_STATS_ENABLED": "0"},
            },
            **options,
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


def _check_connection(address: str) -> None:
    """Raise OSError if nothing listens at host:port, to which Ray would try to connect for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        with socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_SECONDS):
            pass


def device() -> str:
    """Tell the type of device that the workers use: `cuda` if the cluster has GPUs, else `cpu`."""
    return "cuda" if _ray().cluster_resources().get("GPU", 0) >= 1 else "cpu"


def fill(prepared_folder: Path, backbone: WorkerBackbone, cache: RowCache, unlabelled: Collection[str] = ()) -> None:
    """Compute the vectors that the cache lacks for the rows of a prepared table, and put them there.

    Args:
        unlabelled: ids of the unlabelled rows that get vectors.

    Raises:
        HeadstartError: no worker can be started, a batch killed its worker `MAX_ATTEMPTS` times, or a worker failed.
    """
    from ray.exceptions import RayError

    parts = list(_missing(prepared_folder, cache, backbone, unlabelled))
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
        free = _ray().available_resources()
        raise HeadstartError(
            f"extraction on Ray failed: {_cause(error)} (free: {free.get('CPU', 0):g} CPUs, {free.get('GPU', 0):g}"
            " GPUs); the vectors computed so far are kept, run again to resume"
        ) from None


def _missing(
    prepared_folder: Path, cache: RowCache, backbone: WorkerBackbone, unlabelled: Collection[str]
) -> Iterator[dict[str, Any]]:
    """Yield path, number and missing rows of every row group with rows that the cache lacks."""
    seen: set[str] = set()
    for split in prepared.tables(prepared_folder):
        if split == prepared.UNLABELLED and not unlabelled:
            continue
        for path in shards.paths(prepared_folder / split):
            with pq.ParquetFile(path) as shard:
                for group in range(shard.num_row_groups):
                    table = shard.read_row_group(group, columns=["id", *backbone.columns()])
                    keys = [prepared.content_id(content) for content in backbone.inputs(table)]
                    known, _ = cache.get(keys)
                    if split == prepared.UNLABELLED:
                        known |= ~np.isin(table["id"].to_pylist(), [*unlabelled])
                    rows = [row for row in np.flatnonzero(~known).tolist() if keys[row] not in seen]
                    seen |= {keys[row] for row in rows}
                    if rows:
                        yield {"path": str(path.resolve()), "group": group, "rows": rows}


def _vectors(parts: list[dict[str, Any]], backbone: WorkerBackbone) -> "Dataset":
    """Build the Ray data set of key and vector of the missing rows, which computes as it is read."""
    ray = _ray()
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context.wait_for_min_actors_s = WORKER_TIMEOUT_SECONDS  # without it, Ray waits for a full cluster for ever
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
    attempts = ray.remote(num_cpus=0, label_selector=here)(_Attempts).remote()
    workers, resources = _workers()
    threads = int(resources["num_cpus"])
    vectors: Dataset = (
        ray.data.from_items(parts, override_num_blocks=len(parts))
        # Reading reserves no CPU: the workers hold all of them, so it would wait for ever.
        .map_batches(_read, fn_args=(backbone.columns(),), batch_size=1, num_cpus=0, label_selector=here)
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
    """Count the workers that fit into the cluster, and give what one reserves: a GPU, or the smallest node's cores."""
    nodes = [node["Resources"] for node in _ray().nodes() if node["Alive"]]
    if gpus := int(sum(node.get("GPU", 0) for node in nodes)):
        return gpus, {"num_gpus": 1, "num_cpus": 1}
    cpus = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
    if not cpus:
        raise HeadstartError("the Ray cluster has neither CPUs nor GPUs; add a node with CPUs")
    return sum(count // min(cpus) for count in cpus), {"num_cpus": min(cpus)}


def _read(batch: dict[str, np.ndarray], columns: list[str]) -> pa.Table:
    """Read id, source and content of the missing rows of a row group."""
    (path,), (group,), (rows,) = batch["path"], batch["group"], batch["rows"]
    with pq.ParquetFile(path) as shard:
        return shard.read_row_group(int(group), columns=["id", "source", *columns]).take(np.asarray(rows))


class _Attempts:
    """Count how often a batch was begun without being finished, by any worker."""

    def __init__(self) -> None:
        self._unfinished: dict[str, int] = {}

    def begin(self, batch: str) -> int:
        """Count another attempt at the batch; give the number of attempts, including this one."""
        self._unfinished[batch] = self._unfinished.get(batch, 0) + 1
        return self._unfinished[batch]

    def end(self, batch: str) -> None:
        """Forget the attempts at a finished batch. Recomputing it in a retried task does not count as an attempt."""
        self._unfinished.pop(batch, None)


class _Worker:
    """Keep an encoder loaded, and turn batches of id, source and content into key and vector."""

    def __init__(self, backbone: WorkerBackbone, threads: int, folder: str, attempts: Any) -> None:
        """Load the encoder. `folder`: where the command runs; paths of local weights are relative to it."""
        import torch

        if Path(folder).is_dir():
            os.chdir(folder)
        torch.set_num_threads(threads)
        self._encoder = cast("Encoder", backbone.load())
        self._backbone, self._attempts = backbone, attempts

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Compute the vectors of a batch; refuse one that has killed its worker `MAX_ATTEMPTS` times."""
        ids = batch["id"].to_pylist()
        name = f"{ids[0]} {ids[-1]}"
        if _ray().get(self._attempts.begin.remote(name)) > MAX_ATTEMPTS:
            sources = batch["source"].to_pylist()
            raise HeadstartError(
                f"one of {len(ids)} rows, {sources[0]} to {sources[-1]}, killed its worker {MAX_ATTEMPTS} times"
            )
        inputs = self._backbone.inputs(batch)
        stored = encode.records(*self._encoder.encode_with_tokens(inputs), self._backbone.settings.dtype)
        self._attempts.end.remote(name)
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(stored.ravel()), stored.shape[1])
        return pa.table({"key": [prepared.content_id(content) for content in inputs], "vector": vectors})


def _ray() -> Any:
    """Import ray and ray.data, as Any: their types are incomplete."""
    try:
        importlib.import_module("ray.data")
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
