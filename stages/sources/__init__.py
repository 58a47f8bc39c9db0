"""Raw rows: tables of texts or images, and folders of images.

A row that cannot be used carries the reason, so that it can be listed. A file that cannot be divided into rows is an
error.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from stages.common.errors import HeadstartError
from stages.common.params import Modality
from stages.sources import image_folders, table_files
from stages.sources import modality as modalities
from stages.sources.image_folders import is_image_folder
from stages.sources.notes import Notes
from stages.sources.row import DEFAULT_READING, Columns, Reading, Row
from stages.sources.table_folders import train_name
from stages.sources.values import looks_missing
from stages.tables import images

CHECK_SIDE = 64  # pixels: a JPEG's decoder reads all of the file, but makes a small picture of it

__all__ = [
    "Columns",
    "Notes",
    "Reading",
    "Row",
    "check",
    "is_image_folder",
    "looks_missing",
    "modality",
    "ready",
    "remarks",
    "rows",
    "train_name",
]


def modality(
    data: Path, columns: Columns, setting: Literal["auto", "text", "image"], reading: Reading = DEFAULT_READING
) -> Modality:
    """Return the value of `prepare.modality`, or for `auto` the modality of `data`.

    Raises:
        HeadstartError: `data` is missing; is a folder of images although the setting is `text`; or holds images in a
            way that is not read.
    """
    if is_image_folder(data):
        if setting == "text":
            raise HeadstartError(
                f"prepare.modality is text, but {data} is a folder of images; name a table, or set it to image"
            )
        return "image"
    if setting == "auto":
        return modalities.from_values(data, columns, reading)
    table_files.tables(data)  # raises if `data` is not a table
    if setting == "image" and len(columns.inputs()) > 1:
        raise HeadstartError(
            "prepare.modality is image, but only texts can be joined; name one column as prepare.input"
        )
    return setting


def rows(data: Path, columns: Columns, modality: Modality, reading: Reading = DEFAULT_READING) -> Iterator[Row]:
    """Yield the rows of a table, of a folder of tables named train, validation and test, or of a folder of images.

    Raises:
        HeadstartError: `data` is missing, damaged, or of unknown format or layout; a column is missing; or a path in a
            table, or a link, leaves the folder.
    """
    if modality == "image" and is_image_folder(data):
        yield from image_folders.rows(data, labelled=columns.label is not None, follow_links=reading.follow_links)
    else:
        yield from table_files.rows(data, columns, modality, reading)


def remarks(data: Path, *, follow_links: bool = False) -> Iterator[str]:
    """Yield sentences on what is read in a way that the user may not have meant."""
    if is_image_folder(data):
        yield from image_folders.remarks(data, follow_links=follow_links)


def check(row: Row, *, max_pixels: int = images.MAX_PIXELS) -> Row:
    """Return the row with a problem if it holds an image that cannot be read, or that has more than `max_pixels`."""
    if row.problem or isinstance(row.content, str):
        return row
    try:
        images.decode(row.content, side=CHECK_SIDE, max_pixels=max_pixels)
        return replace(row, other_kind=images.other_kind(row.content, row.name) if row.name else None)
    except images.UnreadableImageError as error:
        return replace(row, content=b"", problem=f"{row.name or 'the image'} {error}")


def ready(row: Row, *, max_side: int | None) -> Row:
    """Return a checked row with what the backbone encodes: the text as it is, or the image shrunk to `max_side` pixels.

    Args:
        max_side: longest side of an image in pixels; None keeps its size.
    """
    if row.problem or isinstance(row.content, str):
        return row
    try:
        return replace(row, content=images.pack(row.content, max_side))
    except images.UnreadableImageError as error:  # in a scale that `check` did not decode
        return replace(row, content=b"", problem=f"{row.name or 'the image'} {error}")
