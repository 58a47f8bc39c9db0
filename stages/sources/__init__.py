"""Where raw rows come from: tables of texts or images, and folders of images.

A row that cannot be used comes out with the reason, so that it can be listed. What cannot be told apart into rows is
refused whole.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from stages.common.errors import HeadstartError
from stages.common.params import Modality
from stages.sources import image_folders, table_files
from stages.sources.image_folders import is_image_folder
from stages.sources.row import Columns, Row

__all__ = ["Columns", "Row", "is_image_folder", "modality", "rows"]


def modality(data: Path, columns: Columns, wanted: Literal["auto", "text", "image"]) -> Modality:
    """`text` or `image`: what `wanted` says, or with `auto` what is found in `data`.

    Raises:
        HeadstartError: `data` is missing, or is a folder of images where text is wanted.
    """
    if is_image_folder(data):
        if wanted == "text":
            raise HeadstartError(
                f"prepare.modality is text, but {data} is a folder of folders; name a table, or set it to image"
            )
        return "image"
    if wanted == "auto":
        return "image" if table_files.holds_images(data, columns.input) else "text"
    table_files.tables(data)  # refuses what is no table
    return wanted


def rows(data: Path, columns: Columns, modality: Modality) -> Iterator[Row]:
    """Yield every row of a table, of a folder of tables named train, validation and test, or of a folder of images.

    Raises:
        HeadstartError: `data` is missing, has an unknown format or layout, lacks a column, or is damaged; or a path
            in a table leaves the table's folder.
    """
    if modality == "image" and is_image_folder(data, labelled=columns.label is not None):
        yield from image_folders.rows(data, labelled=columns.label is not None)
    else:
        yield from table_files.rows(data, columns, modality)
