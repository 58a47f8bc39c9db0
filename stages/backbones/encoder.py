"""What encoders of text and of images share: they are torch modules that turn batches into vectors."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from stages.errors import HeadstartError
from stages.params import ExtractParams, FinetuneParams, RuntimeParams

WEIGHTS_FILE = "model.safetensors"


class Encoder(nn.Module):
    """A pretrained network without its classifier: inputs in, vectors out."""

    is_sparse = False
    body: Any
    dim: int

    def __init__(self, settings: ExtractParams, *, fingerprint: str, name: str) -> None:
        super().__init__()
        self.settings = settings
        self.fingerprint = fingerprint
        self.name = name

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @abstractmethod
    def forward(self, batch: Any) -> Tensor:
        """Vectors of a batch: (rows, dim)."""

    @abstractmethod
    def batches(self, inputs: Sequence[Any]) -> Iterator[tuple[list[int], Any]]:
        """Cut inputs into batches: (positions in `inputs`, batch), which may be padded by more rows."""

    def prepare_training(self, settings: FinetuneParams, *, from_random: bool) -> None:
        """Set up what training needs beyond the network; `from_random`: the weights are not pretrained."""

    @abstractmethod
    def training_rows(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """What can be made of each input once, before the first epoch."""

    @abstractmethod
    def training_batch(self, rows: Sequence[Any]) -> Any:
        """A batch of some training rows, augmented where that is asked for."""

    @abstractmethod
    def export(self, folder: Path) -> None:
        """Write the encoder as it is now, for `load_finetuned`; model.safetensors is a valid `backbone.weights`."""

    def encode(self, inputs: Sequence[Any]) -> np.ndarray:
        """Vectors of inputs, in their order: (inputs, dim) float32."""
        out = np.empty((len(inputs), self.dim), dtype=np.float32)
        self.eval()
        with torch.inference_mode():
            for positions, batch in self.batches(inputs):
                out[positions] = self(batch)[: len(positions)].float().cpu().numpy()
        return out

    def save(self, folder: Path) -> None:
        """Nothing to keep: name, revision and weights bring the encoder back."""

    def _scaled(self, vectors: Tensor) -> Tensor:
        return nn.functional.normalize(vectors, dim=1) if self.settings.normalize else vectors


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
    """The device of `runtime.device`; `auto` takes an accelerator where there is one."""
    if runtime.device == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    wanted = torch.device(runtime.device)
    try:
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError):
        raise HeadstartError(
            f"runtime.device is {runtime.device!r}, which this machine does not have; use auto or cpu"
        ) from None
    return wanted
