"""Decode encoded images to RGB pictures, in one way for prepare, backbones and predict.

Reads JPEG, PNG, WebP, AVIF, GIF (first frame), BMP, TIFF, PPM and, with the extra heif, HEIC. The content tells the
format, not the name. Greyscale, palette, CMYK and 16-bit images become 8-bit RGB, transparent ones are laid on white,
and the camera's orientation (EXIF) is applied. Metadata that cannot be read is ignored.
"""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath

import numpy as np
from PIL import Image, UnidentifiedImageError

from stages.common.errors import HeadstartError, one_line
from stages.common.prepare_params import PrepareParams
from stages.tables import image_metadata

SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".dib": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".avif": "AVIF",
    ".heic": "HEIC",
    ".heif": "HEIC",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".pbm": "PPM",
    ".pnm": "PPM",
}
FORMATS = tuple(dict.fromkeys(SUFFIXES.values()))
PILLOW_FORMATS = tuple(kind for kind in FORMATS if kind != "HEIC")
# Phones write JPEGs with a second picture inside and name them .jpg; Pillow calls these MPO.
ALIASES = {"MPO": "JPEG", "DIB": "BMP", "HEIF": "HEIC"}
LOSSY = ("JPEG", "WEBP", "AVIF", "HEIC")
# The four bytes after `ftyp` with which a HEIC file starts, and those of containers for HEIC and AVIF alike.
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
CONTAINER_BRANDS = (b"mif1", b"msf1")
MAX_PIXELS: int = PrepareParams.model_fields["max_pixels"].default
TURNED = {  # by the orientation in EXIF
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ORIENTATION = 0x0112
JPEG_QUALITY = 95
# A JPEG decoder that scales a large image down keeps at least this many times the pixels per side that are needed. With
# 2, ImageNet SqueezeNet's vectors of packed 12-megapixel photos changed by 1.2 % (median; 2.6 % at most), less than
# half as much as by JPEG_QUALITY. Extract does not use it: at small image sizes, vectors changed by up to 30 %.
MARGIN = 2

Image.MAX_IMAGE_PIXELS = None  # the limit is `prepare.max_pixels`, in `_open`
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # of odd metadata


class UnreadableImageError(Exception):
    """Why an image cannot be used, in a few words that follow the image's name."""


class _TooLargeError(UnreadableImageError):
    """An image of too many pixels: there is no use in another try."""


def decode(content: bytes, *, side: int | None = None, max_pixels: int | None = MAX_PIXELS) -> Image.Image:
    """Decode a whole image to 8-bit RGB, with its orientation applied.

    Args:
        content: the encoded bytes.
        side: pixels of the longer side that the caller needs. The decoder of a JPEG with at least 2 x `MARGIN` times as
            many scales it down, which saves most of the decoding time.
        max_pixels: an image of more is refused, since it may be made to fill the memory; None: no limit.

    Raises:
        UnreadableImageError: the image is empty, truncated, of an unknown format, or larger than `max_pixels`.
    """
    image = _tried(lambda copy: _load(copy, side, max_pixels), content)
    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:  # on damaged metadata, parsers raise errors of many types
        orientation = None
    with _decoding():
        return _rgb(image.transpose(TURNED[orientation]) if orientation in TURNED else image)


def decode_prepared(content: bytes, *, side: int | None = None) -> Image.Image:
    """Decode an image that prepare or `sources.ready` accepted; see `decode`.

    Raises:
        HeadstartError: it cannot be decoded after all.
    """
    try:
        return decode(content, side=side, max_pixels=None)
    except UnreadableImageError as error:
        raise HeadstartError(f"a prepared image {error}; run `dvc repro prepare`") from None


def pack(content: bytes, max_side: int | None) -> bytes:
    """Return the bytes of an image that `decode` accepts, unchanged or re-encoded at `max_side` pixels if it is larger.

    Lossy formats become JPEG of quality 95 without chroma subsampling, the others PNG. HEIC is always re-encoded, so
    that no later stage needs the extra that reads it.

    Raises:
        UnreadableImageError: see `decode`.
    """
    image = _tried(lambda copy: _open(copy, None), content)
    kind = _kind(image)
    side = max_side or max(image.size)
    if max(image.size) <= side and kind != "HEIC":
        return content
    picture = decode(content, side=side, max_pixels=None)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=None)
    out = io.BytesIO()
    if kind in LOSSY:
        picture.save(out, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    else:
        picture.save(out, "PNG")
    return out.getvalue()


def read(path: Path) -> tuple[bytes, str | None]:
    """Return (bytes of an image file, None), or (no bytes, why they cannot be read)."""
    try:
        # Opening a pipe or a device would wait for ever.
        if not path.is_file():
            return b"", "is a folder" if path.is_dir() else "does not exist"
        return path.read_bytes(), None
    except (OSError, ValueError) as error:
        return b"", f"cannot be read ({getattr(error, 'strerror', None) or error})"


def is_image_name(name: str) -> bool:
    """Return whether the suffix belongs to a format that can be read."""
    return PurePath(name).suffix.lower() in SUFFIXES


def other_kind(content: bytes, name: str) -> str | None:
    """Return the format of a readable image, if it is another one than the suffix of its name stands for."""
    suffix = SUFFIXES.get(PurePath(name).suffix.lower())
    kind = _kind(_tried(lambda copy: _open(copy, None), content)) if suffix else None
    return kind if kind != suffix else None


def _tried(read: Callable[[bytes], Image.Image], content: bytes) -> Image.Image:
    """Return what `read` makes of an image file, or, if it cannot read it, of the file without its metadata."""
    try:
        return read(content)
    except _TooLargeError:
        raise
    except UnreadableImageError:
        for copy in image_metadata.copies_without(content):
            with contextlib.suppress(UnreadableImageError):
                return read(copy)
        raise


def _load(content: bytes, side: int | None, max_pixels: int | None) -> Image.Image:
    """Open an image and decode its pixels, scaled down to about `side` by the decoder where it can."""
    image = _open(content, max_pixels)
    if side and (times := max(image.size) // (MARGIN * side)) > 1:
        image.draft(None, (max(image.width // times, 1), max(image.height // times, 1)))  # other formats ignore it
    with _decoding():
        image.load()
    return image


@contextlib.contextmanager
def _decoding() -> Iterator[None]:
    try:
        yield
    except (UnreadableImageError, MemoryError):
        raise
    except Exception as error:  # on damaged files, decoders raise errors of many types
        raise UnreadableImageError(f"cannot be decoded ({one_line(error)})") from None


def _open(content: bytes, max_pixels: int | None) -> Image.Image:
    """Read the header, and check format and size; the pixels are decoded later."""
    if not content:
        raise UnreadableImageError("is empty (0 bytes)")
    try:
        image = Image.open(io.BytesIO(content), formats=_formats(content))
    except UnidentifiedImageError:
        raise UnreadableImageError(f"is not an image in one of the formats {', '.join(FORMATS)}") from None
    except UnreadableImageError:
        raise
    except Exception as error:
        raise UnreadableImageError(f"cannot be read ({one_line(error)})") from None
    if max_pixels and image.width * image.height > max_pixels:
        raise _TooLargeError(
            f"has {image.width:,} x {image.height:,} pixels, more than prepare.max_pixels = {max_pixels:,} allows"
        )
    return image


def _formats(content: bytes) -> tuple[str, ...]:
    """Return the formats that Pillow shall try, with HEIC for content that is."""
    brand = content[8:12]
    if content[4:8] != b"ftyp" or not (
        brand in HEIC_BRANDS or (brand in CONTAINER_BRANDS and not _holds_avif(content))
    ):
        return PILLOW_FORMATS
    try:
        import pillow_heif
    except ImportError:
        raise UnreadableImageError("is HEIC; pip install -e '.[heif]' brings what reads it") from None
    pillow_heif.register_heif_opener()
    return ("HEIF",)


def _holds_avif(content: bytes) -> bool:
    """Return whether a container names AVIF among the formats that it is compatible with."""
    return b"avif" in content[16 : int.from_bytes(content[:4])]


def _kind(image: Image.Image) -> str | None:
    return ALIASES.get(image.format or "", image.format)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bit(image)
    # Palettes store transparency in three ways; a conversion to RGBA handles them all.
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(paper, image).convert("RGB")
    return image.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scale 16-bit greyscale by its full range; Pillow's own conversion would cut everything above 255."""
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65_535:
        raise UnreadableImageError(
            f"holds {'floating-point' if image.mode == 'F' else '32-bit'} values; save it as 16-bit"
        )
    return Image.fromarray(np.round(values / 257).astype(np.uint8))
