"""Decode encoded images to RGB pictures, in one way for prepare, backbones and predict.

Reads JPEG, PNG, WebP, GIF (first frame), BMP and TIFF. Greyscale, palette, CMYK and 16-bit images become 8-bit RGB,
transparent ones are laid on white, and the camera's orientation (EXIF) is applied.
"""

import io
from pathlib import Path, PurePath

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from stages.common.errors import HeadstartError, one_line

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
}
PILLOW_FORMATS = tuple(dict.fromkeys(SUFFIXES.values()))
# Phones write JPEGs with a second picture inside and name them .jpg; Pillow calls these MPO.
ALIASES = {"MPO": "JPEG", "DIB": "BMP"}
LOSSY = ("JPEG", "WEBP")
JPEG_QUALITY = 95
# A JPEG decoder that scales a large image down keeps at least this many times the pixels per side that are needed. With
# 2, ImageNet SqueezeNet's vectors of packed 12-megapixel photos changed by 1.2 % (median; 2.6 % at most), less than
# half as much as by JPEG_QUALITY. Extract does not use it: at small image sizes, vectors changed by up to 30 %.
MARGIN = 2


class UnreadableImageError(Exception):
    """Why an image cannot be used, in a few words that follow the image's name."""


def decode(content: bytes, *, name: str | None = None, side: int | None = None) -> Image.Image:
    """Decode a whole image to 8-bit RGB, with its orientation applied.

    Args:
        content: the encoded bytes.
        name: file name; its suffix must fit the content.
        side: pixels of the longer side that the caller needs. The decoder of a JPEG with at least 2 x `MARGIN` times as
            many scales it down, which saves most of the decoding time.

    Raises:
        UnreadableImageError: the image is empty, truncated, of an unknown format or of another one than its name
            says, or larger than Pillow's limit against decompression bombs.
    """
    image = _open(content, name)
    if side and (times := max(image.size) // (MARGIN * side)) > 1:
        image.draft(None, (image.width // times, image.height // times))  # other formats ignore it
    try:
        return _rgb(ImageOps.exif_transpose(image))
    except (UnreadableImageError, MemoryError):
        raise
    except Exception as error:  # on damaged files, decoders raise errors of many types
        raise UnreadableImageError(f"cannot be decoded ({one_line(error)})") from None


def decode_prepared(content: bytes, *, side: int | None = None) -> Image.Image:
    """Decode an image that prepare or `sources.ready` accepted; see `decode`.

    Raises:
        HeadstartError: it cannot be decoded after all.
    """
    try:
        return decode(content, side=side)
    except UnreadableImageError as error:
        raise HeadstartError(f"a prepared image {error}; run `dvc repro prepare`") from None


def pack(content: bytes, max_side: int | None) -> bytes:
    """Return the bytes unchanged, or re-encoded at `max_side` pixels if a side is longer.

    Lossy formats become JPEG of quality 95 without chroma subsampling, the others PNG.

    Raises:
        UnreadableImageError: see `decode`.
    """
    image = _open(content, None)
    if max_side is None or max(image.size) <= max_side:
        return content
    kind = _kind(image)
    picture = decode(content, side=max_side)
    picture.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=None)
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


def _open(content: bytes, name: str | None) -> Image.Image:
    """Read the header, and check format and size; the pixels are decoded later."""
    if not content:
        raise UnreadableImageError("is empty (0 bytes)")
    try:
        image = Image.open(io.BytesIO(content), formats=PILLOW_FORMATS)
    except UnidentifiedImageError:
        raise UnreadableImageError(f"is not an image in one of the formats {', '.join(PILLOW_FORMATS)}") from None
    except Image.DecompressionBombError:
        raise _bomb() from None
    except Exception as error:
        raise UnreadableImageError(f"cannot be read ({one_line(error)})") from None
    # Pillow only warns of images between its limit and twice that.
    if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        raise _bomb()
    kind = _kind(image)
    if name and SUFFIXES.get(PurePath(name).suffix.lower()) != kind:
        raise UnreadableImageError(f"is {kind} inside but named {PurePath(name).suffix or 'no suffix'}; rename it")
    return image


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


def _bomb() -> UnreadableImageError:
    return UnreadableImageError(f"has more pixels than the {Image.MAX_IMAGE_PIXELS:,} that are safe to decode")
