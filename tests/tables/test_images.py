"""Known answers for every kind of image, and refusals for what is none."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.common.errors import HeadstartError
from stages.tables import images
from stages.tables.images import UnreadableImageError
from tests.pictures import encoded


def noise(width: int = 40, height: int = 30) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def pixel(content: bytes, at: tuple[int, int] = (0, 0)) -> tuple[int, ...]:
    image = images.decode(content)
    assert image.mode == "RGB"
    value = image.getpixel(at)
    assert isinstance(value, tuple)
    return value


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_come_back_as_they_were(kind: str) -> None:
    np.testing.assert_array_equal(np.asarray(images.decode(encoded(noise(), kind))), np.asarray(noise()))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF"])
def test_lossy_formats_come_back_nearly(kind: str) -> None:
    flat = Image.new("RGB", (16, 16), (200, 100, 50))
    assert np.abs(np.array(pixel(encoded(flat, kind), (8, 8))) - (200, 100, 50)).max() <= 3


def test_greyscale_and_sixteen_bit() -> None:
    assert pixel(encoded(Image.new("L", (4, 4), 77))) == (77, 77, 77)
    deep = Image.fromarray(np.array([[0, 257, 32_896, 65_535]], dtype=np.uint16))
    for kind in ("PNG", "TIFF"):
        values = np.asarray(images.decode(encoded(deep, kind)))[0, :, 0]
        assert values.tolist() == [0, 1, 128, 255]
    with pytest.raises(UnreadableImageError, match="floating-point values; save it as 16-bit"):
        images.decode(encoded(Image.fromarray(np.ones((4, 4), dtype=np.float32)), "TIFF"))


def test_sixteen_bit_colour() -> None:
    """Written by hand: Pillow itself cannot write it."""
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" + struct.pack(">HHH", 65_535, 32_896, 0)))
    assert pixel(b"\x89PNG\r\n\x1a\n" + header + body + chunk(b"IEND", b"")) == (255, 128, 0)


def test_palettes_and_transparency_on_white() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 0])
    palette.putpixel((1, 0), 1)
    assert pixel(encoded(palette)) == (10, 20, 30) and pixel(encoded(palette), (1, 0)) == (200, 100, 0)
    assert pixel(encoded(palette, transparency=1), (1, 0)) == (255, 255, 255)
    assert pixel(encoded(Image.new("RGBA", (2, 2), (255, 0, 0, 128)))) == (255, 127, 127)
    assert pixel(encoded(Image.new("LA", (2, 2), (0, 0)))) == (255, 255, 255)
    assert pixel(encoded(Image.new("RGB", (2, 2), (9, 9, 9)), transparency=(9, 9, 9))) == (255, 255, 255)


def test_cmyk() -> None:
    for kind in ("TIFF", "JPEG"):
        colour = pixel(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), kind), (8, 8))
        assert np.abs(np.array(colour) - (255, 0, 0)).max() <= 3


def test_the_orientation_of_the_camera_is_applied() -> None:
    image = Image.new("RGB", (4, 2), "blue")
    image.putpixel((0, 0), (255, 0, 0))
    exif = Image.Exif()
    for orientation, size, corner in (
        (1, (4, 2), (0, 0)),
        (3, (4, 2), (3, 1)),
        (6, (2, 4), (1, 0)),
        (8, (2, 4), (0, 3)),
    ):
        exif[0x0112] = orientation
        content = encoded(image, exif=exif)
        assert images.decode(content).size == size and pixel(content, corner) == (255, 0, 0)


def test_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    assert pixel(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])) == (255, 0, 0)


WHOLE = encoded(noise())
BAD = [
    (b"", "a.png", r"is empty \(0 bytes\)"),
    (b"no image", "a.png", "is not an image in one of the formats JPEG, PNG"),
    (WHOLE[: len(WHOLE) // 2], "a.png", "cannot be decoded"),
    (encoded(noise(), "JPEG")[:-300], "a.jpg", "cannot be decoded"),
    (WHOLE[:20], "a.png", "cannot be|is not an image"),
    (WHOLE, "a.jpg", "is PNG inside but named .jpg; rename it"),
    (WHOLE, "photo", "is PNG inside but named no suffix"),
    (encoded(noise(), "ICO", sizes=[(16, 16)]), "a.ico", "is not an image in one of the formats"),
]


@pytest.mark.parametrize(("content", "name", "message"), BAD)
def test_an_unusable_image_is_refused_with_its_reason(content: bytes, name: str, message: str) -> None:
    with pytest.raises(UnreadableImageError, match=message):
        images.decode(content, name=name)


def test_a_prepared_image_that_cannot_be_decoded_is_a_sentence() -> None:
    with pytest.raises(HeadstartError, match=r"a prepared image cannot be decoded .*; run `dvc repro prepare`"):
        images.decode_prepared(WHOLE[: len(WHOLE) // 2])


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_is_an_error_before_it_explodes(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(noise())  # 1,200 pixels
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000)  # Pillow itself only warns up to twice its limit
    with pytest.raises(UnreadableImageError, match="more pixels than the 1,000 that are safe"):
        images.decode(content)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UnreadableImageError, match="more pixels than the 100 that are safe"):
        images.decode(content)


def test_only_what_is_too_large_is_encoded_again() -> None:
    for kind, packed_kind in (("JPEG", "JPEG"), ("WEBP", "JPEG"), ("PNG", "PNG"), ("TIFF", "PNG")):
        content = encoded(noise(400, 300), kind)
        assert images.pack(content, 400) == images.pack(content, None) == content
        packed = images.pack(content, 100)
        again = Image.open(io.BytesIO(packed))
        assert again.size == (100, 75) and again.format == packed_kind
        assert images.pack(content, 100) == packed, "the same bytes every time"
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = images.pack(encoded(noise(400, 300), "JPEG", exif=exif), 100)
    assert images.decode(turned).size == (75, 100), "turned once, not twice"


def test_reading_a_file_says_why_it_cannot(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(WHOLE)
    assert images.read(tmp_path / "a.png") == (WHOLE, None)
    assert images.read(tmp_path / "b.png") == (b"", "does not exist")
    assert images.read(tmp_path) == (b"", "is a folder")


def test_a_large_jpeg_is_scaled_down_by_its_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = Image.fromarray(np.random.default_rng(1).integers(0, 256, (12, 16, 3), dtype=np.uint8))
    large = encoded(shapes.resize((1_600, 1_200)), "JPEG", quality=95)
    assert images.decode(large).size == images.decode(large, side=401).size == (1_600, 1_200)
    assert images.decode(large, side=400).size == (800, 600), "at least twice of what is needed is left"
    assert images.decode(large, side=100).size == (200, 150)
    assert images.decode(encoded(shapes.resize((1_600, 1_200)), "PNG"), side=100).size == (1_600, 1_200)
    quick = np.asarray(images.decode(images.pack(large, 100)), int)
    monkeypatch.setattr(images, "MARGIN", 10**6)
    slow = np.asarray(images.decode(images.pack(large, 100)), int)
    assert np.abs(quick - slow).max() <= 16, "of 255, on shapes of the strongest contrast"
