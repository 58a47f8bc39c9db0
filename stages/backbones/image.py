"""Image encoders: preprocessing, network and pooling, and augmentation for fine-tuning."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2

from stages.backbones.encoder import Batch, Encoder, affordable, write_weights
from stages.common import heap, threads
from stages.common.errors import HeadstartError, one_line
from stages.common.params import ExtractParams, FinetuneParams
from stages.tables import images

if TYPE_CHECKING:  # it imports transformers, which most image models do without
    from stages.backbones.architectures import Part

# A vector depends slightly on the shape of its batch, so all batches have the same size; the last is padded.
IMAGES_PER_BATCH_CPU = 16
IMAGES_PER_PASS_CPU = 64
IMAGES_PER_BATCH_ACCELERATOR = 256
BYTES_PER_PIXEL = 1_024  # of memory: VGG's first layers hold 2 x 64 values per pixel


class Preprocessing(Protocol):
    """Turns an RGB picture into pixels like those of the pretraining."""

    size: int  # side of the network's input, in pixels

    def __call__(self, picture: Image.Image) -> Tensor:
        """Scale, crop and normalise: (3, size, size) float32."""
        ...

    def normalized(self, picture: Image.Image) -> Tensor:
        """Normalise a picture of size x size pixels: (3, size, size) float32."""
        ...

    def save(self, folder: Path) -> None:
        """Write the preprocessing, to be loaded with the fine-tuned weights."""
        ...


class ImageEncoder(Encoder):
    """Turns encoded images into vectors."""

    def __init__(
        self,
        body: Any,
        preprocessing: Preprocessing,
        settings: ExtractParams,
        *,
        run: Callable[[Any, Tensor], Tensor] = lambda body, pixels: body(pixels),
        part: "Part | None" = None,
        fingerprint: str = "",
        name: str = "",
    ) -> None:
        """Wrap a network without its classifier, and check that it takes this image size.

        Args:
            run: calls a body and pools its output: from (rows, 3, size, size) to (rows, dim).
            part: of a transformers model; `export` writes its configuration beside the weights.
        """
        super().__init__(settings, fingerprint=fingerprint, name=name)
        heap.keep_large()
        self.body = body
        self.preprocessing = preprocessing
        self._run = run
        self._part = part
        self._augmented: Callable[[Image.Image], Image.Image] | None = None
        self._frozen_statistics = False
        self.dim = self._probe()

    def vectors(self, body: Any, batch: Tensor) -> Tensor:
        """Compute the vectors of (rows, 3, size, size) pixels: (rows, dim)."""
        return self._scaled(self._run(body, batch).flatten(1))

    def batches(self, inputs: Sequence[bytes]) -> Iterator[Batch]:
        """Decode images on all cores while the network computes; every batch has the same shape."""
        rows = self._images_per_batch()
        pixels = threads.ordered(self._pixels, inputs, workers=threads.cores(), ahead=rows)
        shape = (rows, 3, self.preprocessing.size, self.preprocessing.size)
        for start in range(0, len(inputs), rows):
            positions = list(range(start, min(start + rows, len(inputs))))
            # Channels last: convolutions read the channels of a pixel together.
            batch = torch.empty(shape, memory_format=torch.channels_last, pin_memory=self.device.type == "cuda")
            for row in range(len(positions)):
                batch[row] = next(pixels)
            batch[len(positions) :] = 0
            no_tokens = [0] * len(positions)
            yield Batch(positions, batch.to(self.device, non_blocking=True), no_tokens, no_tokens)

    def training_rows(self, inputs: Sequence[bytes]) -> Sequence[bytes]:
        """Return the images still encoded: decoded ones would take a hundred times the memory."""
        return inputs

    def length(self, row: bytes) -> int:
        """Return 1: all images are the same work."""
        return 1

    def rows_per_pass(self, longest: int) -> int:
        """Return how many images fit into memory with their gradients: half as many as without."""
        return IMAGES_PER_PASS_CPU if self.device.type == "cpu" else max(self._images_per_batch() // 2, 1)

    def training_batch(self, rows: Sequence[bytes]) -> Tensor:
        """Decode, augment and stack: (rows, 3, size, size). Random numbers come from torch's global generator."""
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
        """Switch to training or evaluation, but keep frozen running statistics of batch normalisation.

        They are frozen if the settings say so, and in blocks that are not trained. Statistics of a few small batches
        are noisier than those of a million images of the pretraining, and with frozen ones training starts exactly
        where the head ended. The layers' scales and shifts are trained all the same.
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
        """Write weights and preprocessing, and the config of a transformers model."""
        self.preprocessing.save(folder)
        if self._part:
            self._part.save(self.body, folder, self.name)
        else:
            write_weights(self.body, folder)

    def check_reload(self) -> None:
        """See the base; the networks of torchvision are loaded by the names of their own weights."""
        if self._part:
            self._part.check_reload(self.body, "image", self.name)

    def _images_per_batch(self) -> int:
        if self.device.type == "cpu":
            return IMAGES_PER_BATCH_CPU
        bytes_per_image = BYTES_PER_PIXEL * self.preprocessing.size**2
        return affordable(self.device, bytes_per_item=bytes_per_image, limit=IMAGES_PER_BATCH_ACCELERATOR)

    def _pixels(self, content: bytes) -> Tensor:
        return self.preprocessing(images.decode_prepared(content))

    def _training_pixels(self, content: bytes) -> Tensor:
        picture = images.decode_prepared(content)
        if self._augmented is None:
            return self.preprocessing(picture)
        picture = self._augmented(picture)
        return self.preprocessing.normalized(picture) if self._is_cropped else self.preprocessing(picture)

    def _probe(self) -> int:
        """Encode a picture, and return the number of dimensions.

        Raises:
            HeadstartError: the network cannot take this image size, or gives other vectors every time.
        """
        size = self.preprocessing.size
        self.eval()
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                pixels, state = torch.linspace(-1, 1, 3 * size**2).view(1, 3, size, size), torch.get_rng_state()
                vectors = self(pixels)
                is_random = not torch.equal(state, torch.get_rng_state()) and not torch.equal(vectors, self(pixels))
        except Exception as error:  # architectures raise errors of many types
            raise HeadstartError(
                f"{self.name} cannot encode images of {size} x {size} pixels ({one_line(error)});"
                " set extract.image_size to null, or to a size that it takes"
            ) from None
        if is_random:
            raise HeadstartError(
                f"{self.name} draws random numbers, as ViT-MAE hides random patches, so an image has another vector"
                " every time; set backbone.name to another model"
            )
        return int(vectors.shape[1])
