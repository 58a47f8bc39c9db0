"""Tell what a value of a table is that may name or hold an image."""

import base64
import binascii
import os
import re
from itertools import islice
from pathlib import Path, PurePath

from stages.tables import images

# Images by suffix, whether they can be read or not: a column of them is no column of texts.
SUFFIXES = {
    *images.SUFFIXES,
    *(".apng", ".cr2", ".dng", ".ico", ".j2k", ".jp2", ".jxl", ".nef", ".pjpeg"),
    *(".psd", ".svg", ".tga", ".xbm"),
}
STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*")  # of image files
# Audio, video, arrays, documents: a column of their names is neither one of texts nor of images.
OTHER_SUFFIXES = {
    *(".aac", ".aiff", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".wav", ".wma"),
    *(".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"),
    *(".dcm", ".h5", ".hdf5", ".nii", ".npy", ".npz"),
    *(".doc", ".docx", ".eml", ".odt", ".pdf", ".ppt", ".pptx", ".rtf", ".txt"),
}
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)  # https, s3, gs, file, …
SUFFIX_IN_ADDRESS = re.compile(rf"({'|'.join(map(re.escape, sorted(SUFFIXES)))})(?![a-z0-9])", re.IGNORECASE)
FORMAT_IN_ADDRESS = re.compile(r"[?&](format|fm|ext|type)=(image/)?(jpe?g|png|webp|gif|avif)", re.IGNORECASE)
DATA_ADDRESS = re.compile(r"data:image/[^,]{1,60},", re.IGNORECASE)
BASE64 = re.compile(r"[A-Za-z0-9+/_\s-]+=*\s*")
MIN_BASE64 = 40  # characters: no image is smaller
BYTES_OF_PYTHON = re.compile(r"""b['"](\\x89PNG|\\xff\\xd8\\xff|GIF8|RIFF|\\x00\\x00\\x00.{1,4}ftyp)""")
HEXADECIMAL = re.compile(r"(0x|\\x)?([0-9a-fA-F]{24,})")
MAX_LISTED = 10_000  # files of a folder


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


def is_image_as_text(value: str) -> bool:
    """Return whether a string is an image as base64, hexadecimal digits or Python's way to print bytes."""
    if DATA_ADDRESS.match(value) or BYTES_OF_PYTHON.match(value):
        return True
    if digits := HEXADECIMAL.match(value[:64]):
        return starts_like_image(bytes.fromhex(digits[2][:24]))
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
    """Return whether a path, perhaps with a query behind it or in quotes, ends in the suffix of an image."""
    path = re.sub(r"[?#]\S*$", "", path.strip(" \"'[]()<>"))
    return "://" not in path and PurePath(path).suffix.lower() in SUFFIXES


def is_other_file(value: str) -> bool:
    """Return whether a string without spaces ends in the suffix of a file that is no image and no text in a table."""
    return not re.search(r"\s", value) and PurePath(value).suffix.lower() in OTHER_SUFFIXES


def bare_names(folder: Path) -> set[str]:
    """Return the names of the images in a folder and in those in it, without suffix; the latter with their folder too.

    Tables of competitions list images so. Links to folders are not followed.
    """
    names: set[str] = set()
    folders = [folder, *(Path(entry.path) for entry in _entries(folder) if entry.is_dir(follow_symlinks=False))]
    for path in folders:
        stems = {PurePath(entry.name).stem for entry in _entries(path) if images.is_image_name(entry.name)}
        names |= stems | {f"{path.name}/{stem}" for stem in stems if path != folder}
    return names


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return list(islice(entries, MAX_LISTED))
    except OSError:
        return []
