"""Small pictures as files hold them."""

import io

import numpy as np
from PIL import Image


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The bytes of a file of this format."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png(seed: int, size: tuple[int, int] = (12, 9)) -> bytes:
    """Noise of `size` (width, height) as PNG."""
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return encoded(Image.fromarray(values))
