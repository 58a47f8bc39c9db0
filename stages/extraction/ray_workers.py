"""Workers on a Ray cluster, each with an encoder, which compute batches of rows.

They are plain actors. Ray Data would start five more processes, and copy every row twice more.
"""

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import ray
from ray.exceptions import ObjectLostError, RayActorError

from stages.backbones import deferred
from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, ExtractParams, Modality, RuntimeParams
from stages.extraction import encode
from stages.extraction.ray_batches import Batch

if TYPE_CHECKING:
    from stages.backbones.encoder import Encoder

BATCHES_AHEAD = 2  # that a worker has: while it computes the first, the second is on its way
MAX_ATTEMPTS = 3  # at a batch, or at loading; without a limit, a row that kills its worker would be tried for ever
TIMEOUT_SECONDS = 120  # for a worker to load the backbone while no other computes


class DeadlyBatchError(Exception):
    """A batch that killed `MAX_ATTEMPTS` workers which had no other."""

    def __init__(self, batch: Batch) -> None:
        super().__init__(batch)
        self.batch = batch


@dataclass(frozen=True)
class WorkerBackbone:
    """What a worker loads."""

    spec: BackboneParams
    settings: ExtractParams
    modality: Modality


class Worker:
    """Keep an encoder loaded, and compute the vectors of inputs."""

    def load(self, backbone: WorkerBackbone, threads: int, folder: str) -> str:
        """Load the encoder, which describes it in the cache folder of the node; return its fingerprint.

        Args:
            folder: where the command runs; paths of local weights are relative to it.
        """
        import torch

        if Path(folder).is_dir():
            os.chdir(folder)
        torch.set_num_threads(threads)
        loaded = deferred.load(backbone.spec, backbone.settings, RuntimeParams(), modality=backbone.modality)
        self._encoder = cast("Encoder", loaded)
        return self._encoder.fingerprint

    def encode(self, inputs: tuple[Any, ...]) -> np.ndarray:
        """Compute vectors and counts of tokens as the row cache stores them: (inputs, values)."""
        return encode.records(*self._encoder.encode_with_tokens(inputs), self._encoder.settings.dtype)


class Pool:
    """The workers of a backbone. Use as a context manager; at its end they are killed."""

    def __init__(self, backbone: WorkerBackbone) -> None:
        """Start no worker yet."""
        self._backbone = backbone
        self._most, resources = _room()
        self._actor: Any = ray.remote(**resources)(Worker)
        self._arguments = backbone, int(resources["num_cpus"]), str(Path.cwd())
        self._batches: Iterator[Batch] = iter(())
        self._waiting: deque[Batch] = deque()  # read, or taken back from a dead worker
        self._loading: dict[Any, Any] = {}  # worker by the reference that is ready when it has loaded the backbone
        # Of every loaded worker: its batches with the references to their results, in the order in which it computes.
        self._queues: dict[Any, deque[tuple[Any, Batch]]] = {}
        self._failed_loads = 0

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in (*self._queues, *self._loading.values()):
            ray.kill(worker)

    def load(self) -> None:
        """Start a first worker, and wait until it has loaded the backbone or failed."""
        self._start()
        ray.wait([*self._loading], timeout=TIMEOUT_SECONDS)

    def results(self, batches: Iterator[Batch], fingerprint: str) -> Iterator[tuple[Batch, np.ndarray]]:
        """Yield the batches in the order in which they are done, with what `Worker.encode` returns.

        No more workers are started than there are batches. The batches of a dead one go to others, and another worker
        is started in its place.

        Args:
            fingerprint: of the backbone on the machine that runs the command.

        Raises:
            HeadstartError: a node has other weights.
            DeadlyBatchError: a batch killed `MAX_ATTEMPTS` workers.
            RuntimeError: no worker could be started.
            RayError: workers died while they loaded the backbone, or one raised an error.
        """
        self._batches, self._waiting = batches, deque(islice(batches, self._most))
        for _ in range(len(self._loading), len(self._waiting)):
            self._start()
        while True:
            computing = {queue[0][0]: worker for worker, queue in self._queues.items() if queue}
            if not computing and not self._waiting:
                return
            timeout = None if computing else TIMEOUT_SECONDS
            done, _ = ray.wait([*computing, *self._loading], timeout=timeout)
            if not done:
                raise RuntimeError(f"no worker has loaded the backbone within {timeout} s")
            worker = computing.get(done[0]) or self._loading.pop(done[0])
            try:
                result = ray.get(done[0])
            except (RayActorError, ObjectLostError) as error:
                self._replace(worker, error)
                continue
            if done[0] in computing:
                _, batch = self._queues[worker].popleft()
                self._hand_out()  # before the result is used, so that no worker waits for that
                yield batch, result
            elif result != fingerprint:
                raise HeadstartError(
                    f"a node has other weights of {self._backbone.spec.name} than the machine that runs the command;"
                    " copy them there"
                )
            else:
                self._queues[worker], self._failed_loads = deque(), 0
                self._hand_out()

    def _start(self) -> None:
        worker = self._actor.remote()
        self._loading[worker.load.remote(*self._arguments)] = worker

    def _hand_out(self) -> None:
        """Give the next batches to the loaded workers, first to those that have none.

        A batch that was lost is given to a worker that has none, and gets no other beside it: of two, nobody could tell
        which kills the worker, since the result of the first may be lost on its way.
        """
        for length in range(BATCHES_AHEAD):
            for worker, queue in self._queues.items():
                is_alone = queue and (queue[0][1].was_lost or (self._waiting and self._waiting[0].was_lost))
                if len(queue) > length or is_alone:
                    continue
                batch = self._waiting.popleft() if self._waiting else next(self._batches, None)
                if batch is None:
                    return
                queue.append((worker.encode.remote(batch.inputs), batch))

    def _replace(self, worker: Any, error: Exception) -> None:
        """Start another worker in place of a dead one, and take back its batches."""
        ray.kill(worker)
        batches = [batch for _, batch in self._queues.pop(worker, ())]
        for batch in batches:
            batch.was_lost = True
            batch.deaths += len(batches) == 1
            if batch.deaths == MAX_ATTEMPTS:
                raise DeadlyBatchError(batch)
        if not batches:
            self._failed_loads += 1
            if self._failed_loads == MAX_ATTEMPTS:
                raise error
        self._waiting.extendleft(reversed(batches))
        self._start()
        self._hand_out()


def _room() -> tuple[int, dict[str, Any]]:
    """Count the workers that fit into the cluster, and give what one reserves: a GPU, or the smallest node's cores."""
    all_nodes: Any = ray.nodes  # a function without types
    nodes = [node["Resources"] for node in all_nodes() if node["Alive"]]
    if gpus := int(sum(node.get("GPU", 0) for node in nodes)):
        return gpus, {"num_gpus": 1, "num_cpus": 1}
    cpus = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
    if not cpus:
        raise HeadstartError("the Ray cluster has neither CPUs nor GPUs; add a node with CPUs")
    return sum(count // min(cpus) for count in cpus), {"num_cpus": min(cpus)}
