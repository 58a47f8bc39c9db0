"""Copies of PNGs and JPEGs without metadata, for those whose metadata Pillow cannot read although the picture is whole.

Only what the pixels need is kept: other programs ignore what they do not understand, too.
"""

import struct
from collections.abc import Iterator

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_KEPT = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS")
PNG_EXIF = b"eXIf"
JPEG_SIGNATURE = b"\xff\xd8"
JPEG_SCAN = 0xDA  # its header is followed by the pixels
JPEG_ADOBE = 0xEE  # APP14: tells whether colours are inverted
JPEG_EXIF = 0xE1  # APP1
JPEG_APPLICATIONS = range(0xE0, 0xF0)
JPEG_COMMENT = 0xFE
ADOBE_LENGTH = 12  # bytes of a whole APP14


def copies_without(content: bytes) -> Iterator[bytes]:
    """Yield the file with no metadata but EXIF, which tells the orientation, and then with none.

    For other formats yield nothing.
    """
    if content.startswith(PNG_SIGNATURE):
        strip = _png
    elif content.startswith(JPEG_SIGNATURE):
        strip = _jpeg
    else:
        return
    yield strip(content, keep_exif=True)
    yield strip(content, keep_exif=False)


def _png(content: bytes, *, keep_exif: bool) -> bytes:
    """Keep the chunks that the pixels need: 4 bytes of length, 4 of a name, data, 4 of a checksum."""
    kept = [PNG_SIGNATURE]
    position = len(PNG_SIGNATURE)
    while position + 8 <= len(content):
        length, name = struct.unpack_from(">I4s", content, position)
        end = position + 12 + length
        if name in PNG_KEPT or (keep_exif and name == PNG_EXIF):
            kept.append(content[position:end])
        position = end
    return b"".join(kept)


def _jpeg(content: bytes, *, keep_exif: bool) -> bytes:
    """Leave out application segments and comments up to the pixels: FF, a marker, and 2 bytes of length with data."""
    kept = [JPEG_SIGNATURE]
    position = len(JPEG_SIGNATURE)
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:  # fills up
            position += 1
            continue
        if marker == JPEG_SCAN:
            break
        (length,) = struct.unpack_from(">H", content, position + 2)
        end = position + 2 + length
        dropped = marker == JPEG_COMMENT or marker in JPEG_APPLICATIONS
        if marker == JPEG_ADOBE:
            dropped = length - 2 < ADOBE_LENGTH
        elif marker == JPEG_EXIF:
            dropped = not keep_exif
        if not dropped:
            kept.append(content[position:end])
        position = end
    kept.append(content[position:])
    return b"".join(kept)
