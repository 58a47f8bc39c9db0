"""Tell what a value of a table is that may name or hold an image."""

import base64
import binascii
import re
from pathlib import Path, PurePath

from stages.tables import images

# Images by suffix, whether they can be read or not: a column of them is no column of texts.
SUFFIXES = {
    *images.SUFFIXES,
    *(".apng", ".cr2", ".dng", ".ico", ".j2k", ".jp2", ".jxl", ".nef", ".pjpeg"),
    *(".psd", ".svg", ".tga", ".xbm"),
}
STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*")  # of image files
ADDRESS = re.compile(r"https?://\S+", re.IGNORECASE)
SUFFIX_IN_ADDRESS = re.compile(rf"({'|'.join(map(re.escape, sorted(SUFFIXES)))})(?![a-z0-9])", re.IGNORECASE)
FORMAT_IN_ADDRESS = re.compile(r"[?&](format|fm|ext|type)=(image/)?(jpe?g|png|webp|gif|avif)", re.IGNORECASE)
DATA_ADDRESS = re.compile(r"data:image/[^,]{1,60},", re.IGNORECASE)
BASE64 = re.compile(r"[A-Za-z0-9+/_\s-]+=*\s*")
MIN_BASE64 = 40  # characters: no image is smaller


def starts_like_image(content: bytes) -> bool:
    """Return whether bytes start as those of an image file."""
    if content[:4] == b"RIFF":
        return content[8:12] == b"WEBP"
    return content.startswith(STARTS) or content[4:8] == b"ftyp"  # HEIC and AVIF


def is_image_file(path: Path) -> bool:
    """Return whether a file starts like an image, whatever its name."""
    try:
        if not path.is_file():  # opening a pipe or a device would wait for ever
            return False
        with path.open("rb") as file:
            return starts_like_image(file.read(12))
    except OSError:
        return False


def is_address(value: str) -> bool:
    """Return whether a string is one address on the web, whatever lies there."""
    return ADDRESS.fullmatch(value.strip()) is not None


def is_image_address(value: str) -> bool:
    """Return whether an address names an image, by a suffix anywhere in it or the format that it asks for."""
    return SUFFIX_IN_ADDRESS.search(value) is not None or FORMAT_IN_ADDRESS.search(value) is not None


def is_base64_image(value: str) -> bool:
    """Return whether a string is an image as base64, alone or in a `data:` address."""
    if DATA_ADDRESS.match(value):
        return True
    if len(value) < MIN_BASE64 or not BASE64.fullmatch(value[:1024]):
        return False
    start = "".join(value[:80].split())
    try:
        return starts_like_image(
            base64.b64decode(start[: len(start) // 4 * 4], altchars=b"-_" if "_" in start else None)
        )
    except binascii.Error:
        return False


def has_image_suffix(path: str) -> bool:
    """Return whether a path, perhaps with a query behind it, ends in the suffix of an image."""
    return "://" not in path and PurePath(re.sub(r"[?#]\S*$", "", path)).suffix.lower() in SUFFIXES
