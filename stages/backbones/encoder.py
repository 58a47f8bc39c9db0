"""The base of text and image encoders: a torch module that turns batches into vectors."""

from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from stages.backbones import blocks, inference
from stages.common import heap, threads
from stages.common.errors import HeadstartError, one_line
from stages.common.params import ExtractParams, FinetuneParams, Modality

WEIGHTS_FILE = "model.safetensors"
FLOATS = ("F16", "BF16", "F32", "F64")  # the types of weights, as safetensors names them
BATCHES_PER_TRIM = 64  # on a CPU, after which freed memory is given back
BATCHES_AHEAD = 3  # that an accelerator computes while earlier vectors are copied back


class Batch(NamedTuple):
    """Inputs that are computed together."""

    positions: list[int]  # of its rows among the inputs
    content: Any  # may have more rows than positions, as padding
    tokens: Sequence[int]  # of every row's whole text; 0 for an image
    unclear: Sequence[int]  # of them, see text_traits.unclear


class Encoded(NamedTuple):
    """Vectors of some inputs."""

    positions: list[int]
    vectors: np.ndarray  # (positions, dim) float32
    tokens: Sequence[int]  # of every row's whole text; 0 for an image
    unclear: Sequence[int]  # of them, see text_traits.unclear

    @property
    def counts(self) -> np.ndarray:
        """Give tokens and unclear ones: (positions, 2)."""
        return np.array([self.tokens, self.unclear], np.int32).T


class Encoder(nn.Module):
    """A pretrained network without its classifier, which turns inputs into vectors."""

    is_sparse = False
    batch_per_core = False  # on a CPU: whether every core computes its own batch, or all cores share one
    max_length: int | None = None  # tokens that are read of a text at a time; None for images
    recipe_sentence = ""
    body: Any
    dim: int

    def __init__(self, settings: ExtractParams, *, fingerprint: str, name: str) -> None:
        super().__init__()
        self._batches = 0  # computed on a CPU
        self.settings = settings
        self.fingerprint = fingerprint
        self.name = name
        self._optimized: tuple[nn.Module, ...] = ()
        self.register_load_state_dict_post_hook(_drop_optimized)  # type: ignore[no-untyped-call]

    @property
    def modality(self) -> Modality:
        """Return what it encodes."""
        return "image" if self.max_length is None else "text"

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def device_type(self) -> str:
        return self.device.type

    @property
    def size_bytes(self) -> int:
        """Bytes of the weights in memory."""
        return sum(tensor.numel() * tensor.element_size() for tensor in (*self.parameters(), *self.buffers()))

    @abstractmethod
    def vectors(self, body: Any, batch: Any) -> Tensor:
        """Compute the vectors of a batch: (rows, dim); `body` is this encoder's body or its optimised copy."""

    def forward(self, batch: Any) -> Tensor:
        """Compute the vectors of a batch, for training: (rows, dim)."""
        return self.vectors(self.body, batch)

    @abstractmethod
    def batches(self, inputs: Sequence[Any]) -> Iterator[Batch]:
        """Divide inputs into batches."""

    def prepare_training(self, settings: FinetuneParams, *, from_random: bool) -> None:
        """Set up augmentation and other training behaviour; `from_random`: the weights are not pretrained."""

    @abstractmethod
    def training_rows(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Do the work that is needed only once per input, before the first epoch: (inputs,) training rows."""

    @abstractmethod
    def length(self, row: Any) -> int:
        """Return how much work a training row is, relative to others."""

    @abstractmethod
    def rows_per_pass(self, longest: int) -> int:
        """Return how many training rows of at most that length fit into memory at a time."""

    @abstractmethod
    def training_batch(self, rows: Sequence[Any]) -> Any:
        """Make a batch of training rows, augmented as the settings say."""

    @abstractmethod
    def export(self, folder: Path) -> None:
        """Write the encoder for `load_finetuned`; its model.safetensors is a valid `backbone.weights`."""

    @abstractmethod
    def check_reload(self) -> None:
        """Check that `load_finetuned` would load the weights that `export` writes. Raises a HeadstartError if not."""

    def recompute_blocks(self) -> None:
        """Store only the input of each block, and recompute the block for its gradient: less memory, more time."""
        for name in blocks.names(self.body):
            block = self.body.get_submodule(name)
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)

    def encode(self, inputs: Sequence[Any]) -> np.ndarray:
        """Return the vectors of inputs in order: (inputs, dim) float32."""
        return self.encode_with_tokens(inputs)[0]

    def encode_with_tokens(
        self, inputs: Sequence[Any], advance: Callable[[int], object] = lambda _: None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what `encode` returns, and how many tokens of every text there are and are unclear: (inputs, 2).

        Args:
            advance: called with the number of inputs that are done since the last call.
        """
        X, counts = np.empty((len(inputs), self.dim), np.float32), np.zeros((len(inputs), 2), np.int32)
        for encoded in self.stream(inputs):
            X[encoded.positions], counts[encoded.positions] = encoded.vectors, encoded.counts
            advance(len(encoded.positions))
        return X, counts

    def stream(self, inputs: Sequence[Any]) -> Iterator[Encoded]:
        """Yield the vectors of inputs as batches are computed."""
        self.eval()
        return self._stream_on_cpu(inputs) if self.device.type == "cpu" else self._stream_on_accelerator(inputs)

    def _stream_on_cpu(self, inputs: Sequence[Any]) -> Iterator[Encoded]:
        """Compute one batch on all cores, or with `batch_per_core` a batch on every core."""
        body = self._optimized_body()

        def vectors(batch: Batch) -> Encoded:
            # Set here and not around the loop: a generator's mode would leak to the code that reads from it. Not the
            # inference mode: BEiT keeps indices from one call to the next, and training may not use its tensors.
            with torch.no_grad():
                X = self.vectors(body, batch.content)[: len(batch.positions)].numpy()
            return Encoded(batch.positions, X, batch.tokens, batch.unclear)

        workers = torch.get_num_threads()
        computed: Iterator[Encoded] = map(vectors, self.batches(inputs))
        if self.batch_per_core:
            computed = threads.ordered(
                vectors, self.batches(inputs), workers=workers, prepare_worker=lambda: torch.set_num_threads(1)
            )
        try:
            for encoded in computed:
                yield encoded
                self._batches += 1
                if self._batches % BATCHES_PER_TRIM == 0:
                    heap.give_back()
        finally:
            torch.set_num_threads(workers)  # a worker's setting can apply to the whole process

    def _stream_on_accelerator(self, inputs: Sequence[Any]) -> Iterator[Encoded]:
        """Queue the next batches before the last vectors are copied back, so that the device never waits."""
        body = self._optimized_body()
        waiting: deque[tuple[Batch, Tensor, torch.Event]] = deque()
        for batch in self.batches(inputs):
            with torch.no_grad(), self._autocast():
                vectors = self.vectors(body, batch.content)[: len(batch.positions)].float()
                vectors = vectors.to("cpu", non_blocking=True)
            copied = torch.Event(self.device)
            copied.record()
            waiting.append((batch, vectors, copied))
            if len(waiting) > BATCHES_AHEAD:
                yield _wait_for_copy(*waiting.popleft())
        while waiting:
            yield _wait_for_copy(*waiting.popleft())

    def save(self, folder: Path) -> None:
        """Write nothing: name, revision and weights restore the encoder."""

    def train(self, mode: bool = True) -> Self:
        """Switch to training, or to evaluation; training drops the optimised copy, whose weights would be outdated."""
        if mode:
            self._optimized = ()
        return super().train(mode)

    def _optimized_body(self) -> nn.Module:
        if not self._optimized:
            # In a tuple, because torch registers a module that is an attribute as a child of this one.
            self._optimized = (inference.optimized(self.body),)
        return self._optimized[0]

    def _autocast(self) -> torch.autocast:
        """Compute products in bfloat16 on GPUs that support it; on CPUs that is slower, and changes the vectors."""
        supported = self.device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.autocast(self.device.type, torch.bfloat16, enabled=supported)

    def _scaled(self, vectors: Tensor) -> Tensor:
        return nn.functional.normalize(vectors, dim=1) if self.settings.is_normalized else vectors


def _drop_optimized(encoder: Encoder, _: object) -> None:
    """Drop the optimised copy after other weights were loaded, which its packed ones do not follow."""
    encoder._optimized = ()


def _wait_for_copy(batch: Batch, vectors: Tensor, copied: torch.Event) -> Encoded:
    copied.synchronize()
    return Encoded(batch.positions, vectors.numpy(), batch.tokens, batch.unclear)


def affordable(device: torch.device, *, bytes_per_item: int, limit: int) -> int:
    """Return how many tokens or images fit into a quarter of an accelerator's free memory, at most `limit`.

    The number is a power of two. So a little more or less free memory does not change the batches, and with them the
    last bits of the vectors.
    """
    try:
        free, _ = torch.accelerator.get_memory_info(device)
    except RuntimeError:  # the device does not report its memory
        return limit
    return min(1 << max(free // 4 // bytes_per_item, 1).bit_length() - 1, limit)


def write_weights(
    body: nn.Module, folder: Path, *, prefix: str = "", others: Mapping[str, Tensor] | None = None
) -> None:
    """Write the state of `body`, with `prefix` before every name, and `others`: equal weights as equal bytes."""
    tensors = {prefix + name: tensor for name, tensor in body.state_dict().items()} | dict(others or {})
    state = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    # Not save_file, which makes the file readable by its owner only.
    (folder / WEIGHTS_FILE).write_bytes(safetensors.torch.save(state, metadata={"format": "pt"}))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors state dict.

    Raises:
        HeadstartError: the file is missing or is not a safetensors file.
    """
    if path.suffix != ".safetensors" or not path.is_file():
        raise HeadstartError(
            f"backbone.weights is {str(path)!r}, but must be pretrained, random or a .safetensors file that exists"
        )
    check_types(path)
    try:
        return safetensors.torch.load_file(path)
    except Exception as error:
        raise HeadstartError(f"{path} is not a safetensors file ({one_line(error)}); write it again") from None


def check_types(path: Path) -> None:
    """Refuse a safetensors file whose weights are no floating-point numbers: libraries would convert them in silence.

    Raises:
        HeadstartError: a weight or bias is of another type, or any tensor is complex or of 8-bit floats.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            types = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    except Exception:  # whoever loads the file says why it cannot be read
        return
    for name, kind in types.items():
        # Other tensors, such as positions and counts, are whole numbers in many models.
        is_weight = name.rpartition(".")[2] in ("weight", "bias", "gamma", "beta")
        if kind not in FLOATS and (is_weight or kind.startswith(("F", "C"))):
            raise HeadstartError(
                f"{path} holds {name} of type {kind}, but weights must be {', '.join(FLOATS[:-1])} or {FLOATS[-1]}; use"
                " weights that are not quantised"
            )
