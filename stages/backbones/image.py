"""Image encoders: a preprocessing, a network and a pooling; and the augmentation that fine-tuning adds."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2

from stages.backbones.encoder import Encoder, affordable, write_weights
from stages.common import threads
from stages.common.errors import HeadstartError, one_line
from stages.common.params import ExtractParams, FinetuneParams
from stages.tables import images

# A vector depends a little on the shape of its batch, so every batch has this many images; the last is padded.
IMAGES_PER_BATCH_CPU = 16
IMAGES_PER_PASS_CPU = 64
IMAGES_PER_BATCH_ACCELERATOR = 256
BYTES_PER_PIXEL = 1_024  # of memory: VGG's first layers hold 64 values for each, twice


class Preprocessing(Protocol):
    """From an RGB picture to what the network was pretrained on."""

    size: int  # pixels a side, of what the network gets

    def __call__(self, picture: Image.Image) -> Tensor:
        """Scale, crop and normalise: (3, size, size) float32."""
        ...

    def normalized(self, picture: Image.Image) -> Tensor:
        """Normalise a picture that has the right size already."""
        ...

    def save(self, folder: Path) -> None: ...


class ImageEncoder(Encoder):
    """Encoded images in, vectors out."""

    def __init__(
        self,
        body: Any,
        preprocessing: Preprocessing,
        settings: ExtractParams,
        *,
        run: Callable[[Any, Tensor], Tensor] = lambda body, pixels: body(pixels),
        config: Any = None,
        fingerprint: str = "",
        name: str = "",
    ) -> None:
        """
        Args:
            run: the body and its pooling, on (rows, 3, size, size): (rows, dim).
            config: of a transformers model, written beside its weights.
        """
        super().__init__(settings, fingerprint=fingerprint, name=name)
        self.body = body
        self.preprocessing = preprocessing
        self._run = run
        self._config = config
        self._augmented: Callable[[Image.Image], Image.Image] | None = None
        self._frozen_statistics = False
        self.dim = self._probe()

    def vectors(self, body: Any, batch: Tensor) -> Tensor:
        """Vectors of (rows, 3, size, size): (rows, dim)."""
        return self._scaled(self._run(body, batch).flatten(1))

    def batches(self, inputs: Sequence[bytes]) -> Iterator[tuple[list[int], Tensor]]:
        """Decode images on all cores while the network works; every batch has the same shape."""
        rows = self._images_per_batch()
        pixels = threads.ordered(self._pixels, inputs, workers=threads.cores(), ahead=rows)
        shape = (rows, 3, self.preprocessing.size, self.preprocessing.size)
        for start in range(0, len(inputs), rows):
            positions = list(range(start, min(start + rows, len(inputs))))
            # Channels last: convolutions read the values of one position side by side.
            batch = torch.empty(shape, memory_format=torch.channels_last, pin_memory=self.device.type == "cuda")
            for row in range(len(positions)):
                batch[row] = next(pixels)
            batch[len(positions) :] = 0
            yield positions, batch.to(self.device, non_blocking=True)

    def training_rows(self, inputs: Sequence[bytes]) -> Sequence[bytes]:
        """Images stay encoded: decoded ones would take a hundred times the memory."""
        return inputs

    def length(self, row: bytes) -> int:
        """The same for all."""
        return 1

    def rows_per_pass(self, longest: int) -> int:
        """As many as an accelerator's free memory takes, with what gradients need."""
        return IMAGES_PER_PASS_CPU if self.device.type == "cpu" else max(self._images_per_batch() // 2, 1)

    def training_batch(self, rows: Sequence[bytes]) -> Tensor:
        """Decode, augment and stack: (rows, 3, size, size). Chance comes from torch's global generator."""
        return torch.stack([self._training_pixels(row) for row in rows]).to(self.device)

    def prepare_training(self, settings: FinetuneParams, *, from_random: bool) -> None:
        """Set up augmentation and batch normalisation for `training_batch` and `train()`."""
        size = self.preprocessing.size
        steps: list[nn.Module] = []
        if settings.random_resized_crop:
            steps.append(v2.RandomResizedCrop(size, antialias=True))
        if settings.horizontal_flip:
            steps.append(v2.RandomHorizontalFlip())
        self._augmented = v2.Compose(steps) if steps else None
        self._is_cropped = settings.random_resized_crop
        self._frozen_statistics = settings.batch_norm == "frozen" or (settings.batch_norm == "auto" and not from_random)

    def train(self, mode: bool = True) -> Self:
        """As in torch, but batch normalisation keeps the running statistics of the pretraining where they are frozen.

        They are where the settings say so, and in blocks that are not trained. Statistics of a few small batches are
        noisier than those of the million images behind pretrained weights, and with frozen ones training starts
        exactly where the head ended. Scales and shifts of the layers do train.
        """
        super().train(mode)
        if mode:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm) and (
                    self._frozen_statistics or (module.weight is not None and not module.weight.requires_grad)
                ):
                    module.eval()
        return self

    def export(self, folder: Path) -> None:
        """Write weights and preprocessing, for a transformers model its config too."""
        if self._config is not None:
            self._config.name_or_path = self.name
            self._config.save_pretrained(folder)
        self.preprocessing.save(folder)
        write_weights(self.body, folder)

    def _images_per_batch(self) -> int:
        if self.device.type == "cpu":
            return IMAGES_PER_BATCH_CPU
        bytes_each = BYTES_PER_PIXEL * self.preprocessing.size**2
        return affordable(self.device, bytes_each=bytes_each, most=IMAGES_PER_BATCH_ACCELERATOR)

    def _pixels(self, content: bytes) -> Tensor:
        return self.preprocessing(_decoded(content))

    def _training_pixels(self, content: bytes) -> Tensor:
        picture = _decoded(content)
        if self._augmented is None:
            return self.preprocessing(picture)
        picture = self._augmented(picture)
        return self.preprocessing.normalized(picture) if self._is_cropped else self.preprocessing(picture)

    def _probe(self) -> int:
        """The number of dimensions, seen on a blank picture; and whether the network takes this size at all."""
        size = self.preprocessing.size
        self.eval()
        try:
            with torch.inference_mode():
                return int(self(torch.zeros(1, 3, size, size)).shape[1])
        except HeadstartError:
            raise
        except Exception as error:  # each architecture fails in its own way
            raise HeadstartError(
                f"{self.name} cannot encode images of {size} x {size} pixels ({one_line(error)});"
                " set extract.image_size to null, or to a size that it takes"
            ) from None


def _decoded(content: bytes) -> Image.Image:
    try:
        return images.decode(content)
    except images.UnreadableImageError as error:
        raise HeadstartError(f"a prepared image {error}; run `dvc repro prepare`") from None
