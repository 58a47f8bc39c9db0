"""Raw rows: tables of texts or images, and folders of images.

A row that cannot be used carries the reason, so that it can be listed. A file that cannot be divided into rows is an
error.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from stages.common.errors import HeadstartError, listed
from stages.common.params import Modality
from stages.sources import image_folders, table_files
from stages.sources import modality as modalities
from stages.sources.image_folders import is_image_folder
from stages.sources.row import DEFAULT_READING, Columns, Reading, Row
from stages.tables import images

__all__ = ["Columns", "Reading", "Row", "is_image_folder", "modality", "ready", "remarks", "rows", "without_skipped"]


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


def without_skipped(rows: Iterable[Row], skipped: list[Row]) -> Iterator[Row]:
    """Yield the rows, and append files and folders that are none to `skipped`."""
    for row in rows:
        if row.skipped:
            skipped.append(row)
        else:
            yield row


def remarks(data: Path, skipped: Sequence[Row], *, labelled: bool, follow_links: bool = False) -> Iterator[str]:
    """Yield sentences on what was skipped, and on what was read as the user may not have meant it."""
    if skipped:
        names = listed([row.origin for row in skipped], limit=5)
        yield f"{len(skipped):,} files or folders are no rows and were skipped: {names}"
    if labelled and is_image_folder(data):
        yield from image_folders.remarks(data, follow_links=follow_links)


def ready(row: Row, max_side: int | None, *, checked: bool = False) -> Row:
    """Return the row with what the backbone encodes: the text as it is, or the image shrunk to `max_side` pixels.

    Args:
        row: a raw row; one with a problem is returned unchanged.
        max_side: longest side of an image in pixels; None keeps its size.
        checked: whether the image is known to be whole; if not it is decoded, and gets a problem where that fails.
    """
    if row.problem or isinstance(row.content, str):
        return row
    try:
        if not checked:
            images.decode(row.content, name=row.name)
        return replace(row, content=images.pack(row.content, max_side))
    except images.UnreadableImageError as error:
        return replace(row, content=b"", problem=f"{row.name or 'the image'} {error}")
