"""Raw pixels as vectors."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.backbones.image_backbones import CPU, load, settings, spec


def test_raw_pixels() -> None:
    white, black = Image.new("RGB", (4, 4), "white"), Image.new("RGB", (4, 4), "black")
    contents = []
    for picture in (white, black):
        out = io.BytesIO()
        picture.save(out, "PNG")
        contents.append(out.getvalue())
    vectors = load(spec("rgb", family="pixels"), settings(image_size=None), CPU).encode(contents)
    assert vectors.shape == (2, 3 * 32 * 32) and (vectors[0] == 1).all() and (vectors[1] == 0).all()
    scaled = load(spec("rgb", family="pixels"), settings(image_size=8, normalize=True), CPU).encode(contents)
    assert scaled.shape == (2, 192) and np.linalg.norm(scaled[0]) == pytest.approx(1) and (scaled[1] == 0).all()
