"""Extraction on a real Ray cluster of two nodes on this machine."""

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest

from stages import backbones
from stages.backbones.encoder import Encoder
from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams
from stages.extraction import encode, ray_batches, ray_cluster, ray_workers
from stages.extraction.row_cache import RowCache
from stages.tables import prepared
from tests.projects import contents, make_project, run, set_params, stage, use_backbones

pytestmark = pytest.mark.slow
ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one CPU each."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    Path(tempfile.gettempdir(), "ray").mkdir(exist_ok=True)  # where Ray notes the newest cluster, wherever that is
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:  # for sockets: a short path
        head = {"num_cpus": 1, "include_dashboard": False, "temp_dir": folder}
        nodes = Cluster(initialize_head=True, head_node_args=head)
        nodes.add_node(num_cpus=1)
        yield nodes
        nodes.shutdown()


def texts(count: int) -> list[str]:
    generator = np.random.default_rng(0)
    words = ["i", "love", "hate", "this", "product", "is", "terrible", "great"]
    return [f"{' '.join(generator.choice(words, 8))} {number}" for number in range(count)]


@pytest.fixture
def project(tmp_path: Path, tiny_encoder: Path, cluster: Any) -> Path:
    """A prepared project whose engine is the cluster."""
    folder = make_project(tmp_path / "project")
    lines = [f"{text},{'ab'[number % 2]}" for number, text in enumerate(texts(600))]
    (folder / "data/reviews.csv").write_text("\n".join(["text,category", *lines, lines[0]]) + "\n", "utf-8")
    set_params(
        folder,
        backbone__name=str(tiny_encoder),
        backbone__revision=None,
        extract__max_length=32,
        runtime__device="cpu",
        runtime__engine="ray",
        runtime__ray_address=cluster.address,
    )
    stage(folder, "prepare")
    return folder


@pytest.mark.parametrize("is_list", [False, True])
def test_the_table_is_that_of_the_local_engine(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_encoder: Path, is_list: bool
) -> None:
    if is_list:
        section = {"family": "transformers", "name": str(tiny_encoder)}
        use_backbones(project, section, "tfidf:word", {**section, "weights": "random"})
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "on-ray"))
    done = stage(project, "extract")
    assert "600 rows" in done.stdout and "INFO" not in done.stderr and "arning" not in done.stderr, done.stderr
    on_ray = contents(project / "data/features")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "local"))
    set_params(project, runtime__engine="local")
    stage(project, "extract")
    assert contents(project / "data/features") == on_ray


def test_without_an_address_a_cluster_is_started_and_this_process_imports_no_torch(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_params(project, runtime__ray_address=None)
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "on-ray"))
    code = "import sys; from stages import extract; extract.main(); print('torch' in sys.modules)"
    done = run(project, sys.executable, "-c", code, "data/prepared", "data/features")
    assert "600 rows (600 from the cache)" in done.stdout and done.stdout.endswith("False\n"), done.stdout
    on_ray = contents(project / "data/features")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "local"))
    set_params(project, runtime__engine="local")
    stage(project, "extract")
    assert contents(project / "data/features") == on_ray


def make_prepared(folder: Path, inputs: list[str]) -> Path:
    """A prepared table whose training rows are `inputs`, in row groups of a hundred."""
    source = prepared.TableInfo(input="text", modality="text", max_side=None)
    for split in (*prepared.SPLITS, prepared.UNLABELLED):
        with prepared.writer(folder / split, source) as writer:
            writer._group_rows = 100
            rows = [
                {"id": prepared.content_id(text.encode()), "text": text, "label": "a", "source": f"x.csv:{number + 2}"}
                for number, text in enumerate(inputs if split == "train" else [])
            ]
            writer.write(pa.Table.from_pylist(rows, writer.schema))
    return folder


class Slow(ray_workers.Worker):
    """Takes its time, so that something can happen meanwhile."""

    def encode(self, inputs: tuple[Any, ...]) -> np.ndarray:
        time.sleep(0.5)
        return super().encode(inputs)


class Dying(ray_workers.Worker):
    """Dies of one row, while it computes."""

    def encode(self, inputs: tuple[Any, ...]) -> np.ndarray:
        if "poison" in inputs:
            os._exit(1)
        return super().encode(inputs)


class Broken(ray_workers.Worker):
    """Dies before it computes anything."""

    def load(self, *_: Any) -> str:
        os._exit(1)


Fill = Callable[..., tuple[RowCache, list[str]]]


@pytest.fixture
def fill(tmp_path: Path, tiny_encoder: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch) -> Fill:
    """Fill an empty cache through the cluster with slow workers; gives the cache, and the keys of all rows."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(ray_workers, "Worker", Slow)
    monkeypatch.setattr(ray_batches, "BATCH_ROWS", {"text": 20})
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    spec, settings = BackboneParams(family="transformers", name=str(tiny_encoder)), ExtractParams(max_length=32)
    encoder = backbones.load(spec, settings, RuntimeParams(device="cpu"), modality="text")
    assert isinstance(encoder, Encoder)

    def fill_cache(inputs: list[str], meanwhile: Callable[[], None] = lambda: None) -> tuple[RowCache, list[str]]:
        values = encoder.dim + encode.COUNTS.itemsize // 2  # a vector in float16 and two counts of tokens
        cache = RowCache("0" * 64, dim=values, dtype="float16", limit_bytes=10**9)
        with ray_cluster.cluster(RuntimeParams(ray_address=cluster.address)) as joined:
            thread = threading.Thread(target=meanwhile)
            thread.start()
            try:
                joined.fill(make_prepared(tmp_path / "prepared", inputs), spec, encoder, cache, modality="text")
            finally:
                thread.join()
        return cache, [prepared.content_id(text) for text in inputs]

    return fill_cache


def workers() -> list[int]:
    """Processes of workers that compute."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any("ray::Slow.encode" in word for word in process.info["cmdline"] or ())
    ]


def test_a_worker_that_is_killed_is_replaced(fill: Fill) -> None:
    killed: list[int] = []

    def kill() -> None:
        for _ in range(600):
            for worker in workers():
                with suppress(ProcessLookupError):  # it has ended
                    os.kill(worker, signal.SIGKILL)
                    killed.append(worker)
                    return
            time.sleep(0.1)

    cache, keys = fill(texts(1600), kill)
    assert killed and cache.get(keys)[0].all()


def test_a_node_that_is_removed_takes_nothing_with_it(fill: Fill, cluster: Any) -> None:
    node = cluster.add_node(num_cpus=1)

    def remove() -> None:
        for _ in range(600):
            if workers():
                time.sleep(2)
                cluster.remove_node(node)
                return
            time.sleep(0.1)

    cache, keys = fill(texts(400), remove)
    assert cache.get(keys)[0].all()
    assert len([node for node in ray.nodes() if node["Alive"]] if ray.is_initialized() else [1, 1]) == 2


def test_a_row_that_always_kills_its_worker_is_named(fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_workers, "Worker", Dying)
    inputs = texts(100)
    inputs[55] = "poison"
    with pytest.raises(HeadstartError, match=r"one of 20 rows, x.csv:42 to x.csv:61, killed its worker 3 times"):
        fill(inputs)


def test_a_worker_that_never_loads_is_one_sentence(fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_workers, "Worker", Broken)
    with pytest.raises(HeadstartError, match=r"extraction on Ray failed: .*; the vectors computed so far are kept"):
        fill(texts(50))


def test_a_cluster_without_a_free_cpu_is_one_sentence(
    fill: Fill, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_workers, "TIMEOUT_SECONDS", 5)
    held: list[Any] = []

    class Holder:
        def ready(self) -> bool:
            return True

    def hold() -> None:
        for _ in range(300):  # what the runs before held may not be free yet
            if ray.available_resources().get("CPU", 0) >= 2:
                break
            time.sleep(0.2)
        held.extend(ray.remote(num_cpus=1)(Holder).remote() for _ in range(2))
        ray.get([holder.ready.remote() for holder in held], timeout=60)

    original = ray_batches.missing

    def missing(*given: Any, **named: Any) -> Any:
        hold()
        return original(*given, **named)

    monkeypatch.setattr(ray_batches, "missing", missing)
    with pytest.raises(HeadstartError, match=r"extraction on Ray failed: .*\(free: 0 CPUs"):
        fill(texts(50))


def test_no_cluster_at_the_address_and_no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = RuntimeParams(engine="ray", ray_address="127.0.0.1:9")
    with (
        pytest.raises(HeadstartError, match=r"no Ray cluster can be joined at runtime.ray_address '127.0.0.1:9'"),
        ray_cluster.cluster(runtime),
    ):
        pass
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(HeadstartError, match="which is not installed"), ray_cluster.cluster(runtime):
        pass
