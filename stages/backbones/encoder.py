"""What encoders of text and of images share: they are torch modules that turn batches into vectors."""

import os
from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from stages.backbones import blocks, inference
from stages.common import threads
from stages.common.errors import HeadstartError
from stages.common.params import ExtractParams, FinetuneParams, RuntimeParams

WEIGHTS_FILE = "model.safetensors"
BATCHES_AHEAD = 3  # on an accelerator


class Encoder(nn.Module):
    """A pretrained network without its classifier: inputs in, vectors out."""

    is_sparse = False
    batch_per_core = False  # on a CPU: a batch for each core at a time, or all cores on one batch after the other
    body: Any
    dim: int

    def __init__(self, settings: ExtractParams, *, fingerprint: str, name: str) -> None:
        super().__init__()
        self.settings = settings
        self.fingerprint = fingerprint
        self.name = name
        self._ready: tuple[nn.Module, ...] = ()

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @abstractmethod
    def vectors(self, body: Any, batch: Any) -> Tensor:
        """Vectors of a batch by `body`, which is this encoder's or one made of it: (rows, dim)."""

    def forward(self, batch: Any) -> Tensor:
        """Vectors of a batch, for training: (rows, dim)."""
        return self.vectors(self.body, batch)

    @abstractmethod
    def batches(self, inputs: Sequence[Any]) -> Iterator[tuple[list[int], Any]]:
        """Cut inputs into batches: (positions in `inputs`, batch), which may be padded by more rows."""

    def prepare_training(self, settings: FinetuneParams, *, from_random: bool) -> None:
        """Set up augmentation and the like; `from_random`: the weights are not pretrained."""

    @abstractmethod
    def training_rows(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """What can be made of each input once, before the first epoch."""

    @abstractmethod
    def length(self, row: Any) -> int:
        """How much work a training row is, compared to others."""

    @abstractmethod
    def rows_per_pass(self, longest: int) -> int:
        """How many training rows of up to that length fit into memory at a time."""

    @abstractmethod
    def training_batch(self, rows: Sequence[Any]) -> Any:
        """A batch of some training rows, augmented where that is asked for."""

    @abstractmethod
    def export(self, folder: Path) -> None:
        """Write the encoder as it is now, for `load_finetuned`; model.safetensors is a valid `backbone.weights`."""

    def recompute_blocks(self) -> None:
        """Keep only what goes into each block, and compute the block again for its gradient: less memory, more time."""
        for name in blocks.names(self.body):
            block = self.body.get_submodule(name)
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)

    def cache_name(self, device: str) -> str:
        """What vectors are kept under: the fingerprint, and on accelerators, which round otherwise, their type."""
        return self.fingerprint if device == "cpu" else f"{self.fingerprint}-{device}"

    def encode(self, inputs: Sequence[Any]) -> np.ndarray:
        """Vectors of inputs, in their order: (inputs, dim) float32."""
        out = np.empty((len(inputs), self.dim), dtype=np.float32)
        for positions, vectors in self.stream(inputs):
            out[positions] = vectors
        return out

    def stream(self, inputs: Sequence[Any]) -> Iterator[tuple[list[int], np.ndarray]]:
        """Vectors as they are ready: (positions in `inputs`, vectors (positions, dim) float32)."""
        self.eval()
        return self._on_cpu(inputs) if self.device.type == "cpu" else self._on_accelerator(inputs)

    def _on_cpu(self, inputs: Sequence[Any]) -> Iterator[tuple[list[int], np.ndarray]]:
        body = self._ready_body()

        def vectors(numbered: tuple[list[int], Any]) -> tuple[list[int], np.ndarray]:
            positions, batch = numbered
            # Not around the loops: a mode that a generator sets would leak to whoever reads from it.
            with torch.inference_mode():
                return positions, self.vectors(body, batch)[: len(positions)].numpy()

        if not self.batch_per_core:
            yield from map(vectors, self.batches(inputs))
            return
        at_once = torch.get_num_threads()
        try:
            yield from threads.ordered(
                vectors, self.batches(inputs), workers=at_once, prepare_worker=lambda: torch.set_num_threads(1)
            )
        finally:
            torch.set_num_threads(at_once)  # some of its libraries count for all threads together

    def _on_accelerator(self, inputs: Sequence[Any]) -> Iterator[tuple[list[int], np.ndarray]]:
        """The device gets its next batches before the vectors of the last ones are fetched, so it never waits."""
        body = self._ready_body()
        waiting: deque[tuple[list[int], Tensor, torch.Event]] = deque()
        for positions, batch in self.batches(inputs):
            with torch.inference_mode(), self._autocast():
                vectors = self.vectors(body, batch)[: len(positions)].float().to("cpu", non_blocking=True)
            copied = torch.Event(self.device)
            copied.record()
            waiting.append((positions, vectors, copied))
            if len(waiting) > BATCHES_AHEAD:
                yield _arrived(*waiting.popleft())
        while waiting:
            yield _arrived(*waiting.popleft())

    def save(self, folder: Path) -> None:
        """Nothing to keep: name, revision and weights bring the encoder back."""

    def train(self, mode: bool = True) -> Self:
        """As in torch; what was made ready for inference is made again of the weights that training leaves."""
        if mode:
            self._ready = ()
        return super().train(mode)

    def _ready_body(self) -> nn.Module:
        if not self._ready:
            # In a tuple, since a module set as an attribute would count among this one's own.
            self._ready = (inference.ready(self.body),)
        return self._ready[0]

    def _autocast(self) -> torch.autocast:
        """bfloat16 for products where a GPU is made for it; on CPUs it is slower, and bends the vectors."""
        able = self.device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.autocast(self.device.type, torch.bfloat16, enabled=able)

    def _scaled(self, vectors: Tensor) -> Tensor:
        return nn.functional.normalize(vectors, dim=1) if self.settings.normalize else vectors


def _arrived(positions: list[int], vectors: Tensor, copied: torch.Event) -> tuple[list[int], np.ndarray]:
    copied.synchronize()
    return positions, vectors.numpy()


def affordable(device: torch.device, *, bytes_each: int, most: int) -> int:
    """How many tokens or images a batch on an accelerator may have: up to `most`, in a quarter of its free memory.

    A power of two, so that a little more or less of free memory leaves batches, and with them the last bits of the
    vectors, as they are.
    """
    try:
        free, _ = torch.accelerator.get_memory_info(device)
    except RuntimeError:  # a device that does not tell
        return most
    return min(1 << max(free // 4 // bytes_each, 1).bit_length() - 1, most)


def write_weights(body: nn.Module, folder: Path) -> None:
    """Write the state of `body`; the same weights give the same bytes."""
    state = {name: tensor.cpu().contiguous() for name, tensor in body.state_dict().items()}
    # Not save_file: it makes the file readable for its owner alone.
    (folder / WEIGHTS_FILE).write_bytes(safetensors.torch.save(state, metadata={"format": "pt"}))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors state dict.

    Raises:
        HeadstartError: the file is missing or is no safetensors file.
    """
    if path.suffix != ".safetensors" or not path.is_file():
        raise HeadstartError(
            f"backbone.weights is {str(path)!r}, but must be pretrained, random or a .safetensors file that exists"
        )
    try:
        return safetensors.torch.load_file(path)
    except Exception as error:
        raise HeadstartError(f"{path} is not a safetensors file ({error}); write it again") from None


def device(runtime: RuntimeParams) -> torch.device:
    """The device of `runtime.device`; `auto` takes an accelerator where there is one, each process one of its own."""
    if runtime.device == "auto":
        found = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
        rank = os.environ.get("LOCAL_RANK")  # of the processes that `accelerate launch` started on this machine
        return found if rank is None or found.type == "cpu" else torch.device(found.type, int(rank))
    wanted = torch.device(runtime.device)
    try:
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError):
        raise HeadstartError(
            f"runtime.device is {runtime.device!r}, which this machine does not have; use auto or cpu"
        ) from None
    return wanted
