"""Known answers for every kind of image, and refusals for what is none."""

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.common.errors import HeadstartError
from stages.tables import image_metadata, images
from stages.tables.images import UnreadableImageError
from tests.pictures import encoded


def noise(width: int = 40, height: int = 30) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def segment(marker: int, body: bytes) -> bytes:
    """A segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


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
    (b"", r"is empty \(0 bytes\)"),
    (b"no image", "is not an image in one of the formats JPEG, PNG"),
    (WHOLE[: len(WHOLE) // 2], "cannot be decoded"),
    (encoded(noise(), "JPEG")[:-300], "cannot be decoded"),
    (WHOLE[:20], "cannot be|is not an image"),
    (encoded(noise(), "ICO", sizes=[(16, 16)]), "is not an image in one of the formats"),
]


@pytest.mark.parametrize(("content", "message"), BAD)
def test_an_unusable_image_is_refused_with_its_reason(content: bytes, message: str) -> None:
    with pytest.raises(UnreadableImageError, match=message):
        images.decode(content)


def test_a_prepared_image_that_cannot_be_decoded_is_a_sentence() -> None:
    with pytest.raises(HeadstartError, match=r"a prepared image cannot be decoded .*; run `dvc repro prepare`"):
        images.decode_prepared(WHOLE[: len(WHOLE) // 2])


def test_an_image_of_too_many_pixels_is_refused_before_it_fills_the_memory() -> None:
    for kind in ("PNG", "JPEG"):
        content = encoded(noise(), kind)  # 1,200 pixels
        assert images.decode(content, max_pixels=1_200).size == (40, 30)
        with pytest.raises(
            UnreadableImageError, match=r"has 40 x 30 pixels, more than prepare.max_pixels = 1,199 allows"
        ):
            images.decode(content, max_pixels=1_199)
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    bomb = image_metadata.PNG_SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(UnreadableImageError, match="has 50,000 x 50,000 pixels"):
        images.decode(bomb)


def test_a_photo_of_108_megapixels_is_decoded_at_a_fraction_of_its_size() -> None:
    flat = encoded(Image.new("L", (12_000, 9_000), 100), "JPEG")
    assert images.decode(flat, side=512).size == (1_500, 1_125)
    assert Image.open(io.BytesIO(images.pack(flat, 512))).size == (512, 384)


def test_a_narrow_jpeg_can_be_scaled_down() -> None:
    assert images.decode(encoded(noise(4_000, 2), "JPEG"), side=64).size == (2_000, 1)


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


def png_with(*chunks: bytes, late: bool = False) -> bytes:
    """A PNG with these chunks before its pixels, or after them."""
    content = encoded(noise())
    position = len(content) - 12 if late else 33
    return content[:position] + b"".join(chunks) + content[position:]


def jpeg_with(*segments: bytes) -> bytes:
    content = encoded(noise(), "JPEG")
    return content[:2] + b"".join(segments) + content[2:]


def compressed_text(kind: bytes, start: bytes) -> bytes:
    return chunk(kind, start + zlib.compress(b"a" * 3_000_000))


EXIF = Image.Exif()
EXIF[0x0112], EXIF[0x010F] = 6, "a long name of a maker"
CUT_EXIF = EXIF.tobytes()[6:40]
TWO_ORIENTATIONS = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x02\0\0\0\x06\0\x06\0\0\0\0\0"
ODD_METADATA = {
    "a large zTXt": png_with(compressed_text(b"zTXt", b"k\0\0")),
    "a large iTXt": png_with(compressed_text(b"iTXt", b"k\0\1\0\0\0")),
    "a large text after the pixels": png_with(compressed_text(b"zTXt", b"k\0\0"), late=True),
    "80 megabytes of tEXt": png_with(*[chunk(b"tEXt", b"k\0" + b"a" * 1_000_000)] * 80),
    "an unknown compression": png_with(chunk(b"zTXt", b"k\0\7text")),
    "a large profile": png_with(compressed_text(b"iCCP", b"k\0\0")),
    "a broken profile": png_with(chunk(b"iCCP", b"k\0\0nonsense")),
    "a wrong checksum of a text": png_with(chunk(b"tEXt", b"k\0text")[:-1] + b"?"),
    "a broken animation": png_with(chunk(b"acTL", b"?")),
    "short chunks": png_with(*(chunk(kind, b"") for kind in (b"gAMA", b"cHRM", b"pHYs", b"sRGB"))),
    "broken eXIf": png_with(chunk(b"eXIf", b"MM\0*nonsense")),
    "cut EXIF": jpeg_with(segment(0xE1, b"Exif\0\0" + CUT_EXIF)),
    "EXIF of nonsense": jpeg_with(segment(0xE1, b"Exif\0\0nonsense")),
    "EXIF of another length": jpeg_with(segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff")),
    "a broken JPEG profile": jpeg_with(segment(0xE2, b"ICC_PROFILE\0")),
    "a broken list of pictures": jpeg_with(segment(0xE2, b"MPF\0nonsense")),
    "a broken Photoshop block": jpeg_with(segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed")),
    "short JFIF and Adobe": jpeg_with(segment(0xE0, b"JFIF\0"), segment(0xEE, b"Adobe\0")),
    "bytes after the picture": encoded(noise(), "JPEG") + b"\0" * 9_000,
    "EXIF of nonsense in WebP": encoded(noise(), "WEBP", exif=b"Exif\0\0nonsense"),
}


@pytest.mark.parametrize("case", ODD_METADATA)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # as in a process that is no test
def test_odd_metadata_is_no_reason_to_reject_a_picture(case: str) -> None:
    content = ODD_METADATA[case]
    lossy = {b"\xff\xd8": "JPEG", b"RI": "WEBP"}.get(content[:2], "PNG")
    plain = np.asarray(images.decode(encoded(noise(), lossy)))
    np.testing.assert_array_equal(np.asarray(images.decode(content)), plain)
    assert Image.open(io.BytesIO(images.pack(content, 20))).width <= 20 and images.pack(content, 64) == content


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_an_orientation_beside_metadata_that_is_odd_counts() -> None:
    for content in (
        jpeg_with(segment(0xE1, b"Exif\0\0" + TWO_ORIENTATIONS)),
        jpeg_with(segment(0xE2, b"ICC_PROFILE\0"), segment(0xE1, EXIF.tobytes())),
        png_with(compressed_text(b"zTXt", b"k\0\0"), chunk(b"eXIf", EXIF.tobytes()[6:])),
    ):
        assert images.decode(content).size == (30, 40)


def test_metadata_of_inverted_colours_is_kept() -> None:
    inverted = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # red; Pillow writes CMYK inverted, with an Adobe segment
    content = encoded(inverted, "JPEG")
    with_profile = content[:2] + segment(0xE2, b"ICC_PROFILE\0") + content[2:]
    assert pixel(with_profile) == pixel(content)


def test_modern_formats() -> None:
    for kind in ("AVIF", "PPM", "WEBP"):
        assert (
            np.abs(np.array(pixel(encoded(Image.new("RGB", (32, 32), (200, 100, 50)), kind))) - (200, 100, 50)).max()
            < 6
        )


def test_heic_is_packed_as_jpeg_which_every_machine_reads() -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    out = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (64, 48), (200, 100, 50))).save(out)
    assert images.decode(out.getvalue()).size == (64, 48)
    for side, size in ((512, (64, 48)), (None, (64, 48)), (32, (32, 24))):
        packed = Image.open(io.BytesIO(images.pack(out.getvalue(), side)))
        assert packed.format == "JPEG" and packed.size == size


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_heic_without_the_extra_names_it(brand: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnreadableImageError, match=r"is HEIC; pip install -e '\.\[heif\]' brings what reads it"):
        images.decode(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + b"\0" * 99)


def test_the_name_of_another_format_is_told() -> None:
    assert (
        images.other_kind(WHOLE, "a.jpg") == "PNG" and images.other_kind(encoded(noise(), "WEBP"), "A.JPEG") == "WEBP"
    )
    assert images.other_kind(WHOLE, "a.PNG") is None and images.other_kind(WHOLE, "a") is None
    assert images.other_kind(encoded(noise(), "JPEG"), "a.jfif") is None
