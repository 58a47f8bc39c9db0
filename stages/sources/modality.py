"""Tell texts from images by what the first values of a column hold, however a file stores them."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from stages.common.errors import HeadstartError
from stages.common.params import Modality
from stages.sources import image_values, links, table_files
from stages.sources.row import Columns, Reading
from stages.sources.values import is_missing

Kind = Literal["text", "image", "address", "as text", "bare name", "other file"]

MAX_PEEK_ROWS = 10_000  # read to find the values
MAX_PEEK_VALUES = 200
MAX_PATH = 1024  # characters
MAX_NAME_WORDS = 4  # of a file that is not there: a longer one without folders is a sentence that ends in a name
FIXES = {
    "address": "holds web addresses of images; download the files and name their paths, relative to the table",
    "as text": "holds images as base64 or other text; decode them to files and name their paths, relative to the table",
    "bare name": "names images without suffixes or folders; write paths such as train/1.jpg, relative to the table",
    "other file": "names files that are no images; put their texts into the column",
}


def from_values(data: Path, columns: Columns, reading: Reading) -> Modality:
    """Return what the majority of the first values in the input column of a table is.

    Raises:
        HeadstartError: most are addresses of images, images as text, names of images without suffix, or names of files
            of other kinds; or images are to be joined with others.
    """
    first = next(iter(table_files.tables(data)))
    bare_names = image_values.bare_names(first.parent)
    for column in columns.inputs():
        kinds = Counter(_kind(value, first.parent, bare_names, reading) for value in _values(first, column, reading))
        if kinds["text"] * 2 >= kinds.total():
            continue
        kind = max((kind for kind in kinds if kind != "text"), key=kinds.__getitem__)
        if kind != "image":
            raise HeadstartError(f"{first}: {column} {FIXES[kind]}, or set prepare.modality: text if they are texts")
        if len(columns.inputs()) > 1:
            raise HeadstartError(
                f"{first}: {column} holds images, but only texts can be joined; name one column as prepare.input"
            )
        return "image"
    return "text"


def _values(path: Path, column: str, reading: Reading) -> Iterator[Any]:
    rows = islice(table_files.records(path, Columns(column), reading), MAX_PEEK_ROWS)
    filled = (record[column] for _, record in rows if not _is_empty(record[column]))
    return islice(filled, MAX_PEEK_VALUES)


def _is_empty(value: Any) -> bool:
    return is_missing(value) or (isinstance(value, str | bytes) and not value.strip())


def _kind(value: Any, folder: Path, bare_names: set[str], reading: Reading) -> Kind:
    """Return what one value holds.

    Args:
        folder: of the table; paths are relative to it.
        bare_names: of the images there.
    """
    if isinstance(value, dict):
        return "image" if value.keys() <= {"bytes", "path"} and any(value.values()) else "text"
    if isinstance(value, bytes):
        try:
            value = "" if image_values.starts_like_image(value) else value.decode()
        except UnicodeDecodeError:
            value = ""
        if not value:
            return "image"
    return _kind_of_text(value.strip(), folder, bare_names, reading) if isinstance(value, str) else "text"


def _kind_of_text(value: str, folder: Path, bare_names: set[str], reading: Reading) -> Kind:
    if image_values.is_address(value):
        return "address" if image_values.is_image_address(value) else "text"
    if image_values.is_image_as_text(value):
        return "as text"
    if _is_path(value, folder, reading):
        return "image"
    if value.replace("\\", "/") in bare_names:
        return "bare name"
    return "other file" if image_values.is_other_file(value) else "text"


def _is_path(value: str, folder: Path, reading: Reading) -> bool:
    """Return whether a value names an image: a file beside the table that is one, or any with the suffix of one."""
    if len(value) > MAX_PATH or not value.isprintable():
        return False
    has_suffix = image_values.has_image_suffix(value)
    path = links.path_in(folder, value, follow=reading.follow_links)
    if path is None:
        return has_suffix
    try:
        if not path.is_file():
            return has_suffix and (len(value.split()) <= MAX_NAME_WORDS or "/" in value or "\\" in value)
        with path.open("rb") as file:
            return has_suffix or image_values.starts_like_image(file.read(16))
    except OSError:
        return has_suffix
