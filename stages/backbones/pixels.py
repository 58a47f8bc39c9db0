"""Raw pixels: the picture scaled down and flattened. Nothing is learned: the baseline of image backbones."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from stages.backbones import fingerprint
from stages.common import threads
from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, ExtractParams
from stages.tables import images

SIZE = 32


class Pixels:
    """Turns an image into the RGB values (0 to 1) of a square of `extract.image_size` pixels, or of 32 if null."""

    is_sparse = False
    max_length: int | None = None
    recipe_sentence = ""
    size_bytes = 0

    def __init__(self, spec: BackboneParams, settings: ExtractParams) -> None:
        self.settings = settings
        self.size = settings.image_size or SIZE
        self.dim = 3 * self.size * self.size
        self.fingerprint = fingerprint.from_parts(
            family=spec.family, size=self.size, normalize=settings.is_normalized, dtype=settings.dtype
        )

    def encode(self, inputs: Sequence[bytes]) -> np.ndarray:
        """Return the vectors of encoded images: (inputs, dim) float32, of length 1 with `extract.normalize`."""
        X = np.stack(list(threads.ordered(self._values, inputs, workers=threads.cores())))
        norm = np.linalg.norm(X, axis=1, keepdims=True)
        return X / np.where(norm > 0, norm, 1) if self.settings.is_normalized else X

    def save(self, folder: Path) -> None:
        """Write nothing: the settings suffice."""

    def _values(self, content: bytes) -> np.ndarray:
        picture = images.decode_prepared(content).resize((self.size, self.size), Image.Resampling.BILINEAR)
        return np.asarray(picture, dtype=np.float32).ravel() / 255


def load(spec: BackboneParams, settings: ExtractParams) -> Pixels:
    """Return the only backbone of this family.

    Raises:
        HeadstartError: `spec` has another name.
    """
    if spec.name != "rgb":
        raise HeadstartError(f"backbone.name is {spec.name!r}, but must be rgb, the only one of family pixels")
    return Pixels(spec, settings)
