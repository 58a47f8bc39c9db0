"""Check the values of one record of a table, and make a row of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.common.errors import HeadstartError
from stages.sources import image_values, links
from stages.sources.row import SPLIT_NAMES, Columns, Row
from stages.sources.values import ValueProblemError, as_name, as_text, encodes, is_missing
from stages.tables import images
from stages.tables.prepared import UNLABELLED, Spans


@dataclass(frozen=True)
class ImageFolder:
    """Where the images of a table lie."""

    path: Path
    follow_links: bool


def row(
    origin: str, record: dict[str, Any], columns: Columns, split: str | None, image_folder: ImageFolder | None
) -> Row:
    """Check the values of one record.

    A row without a label is unlabelled, whatever its split.

    Args:
        origin: file and line.
        split: of the whole file; a split column takes precedence.
        image_folder: image paths are relative to it; None for text.
    """
    name: str | None = None
    spans: Spans | None = None
    content: str | bytes
    if image_folder is None:
        content, spans, problem = _text(record, columns)
    else:
        (column,) = columns.inputs()
        content, name, problem = _image(record[column], column, origin, image_folder)
    label: str | None = None
    if columns.label:
        try:
            label = columns.form.read(record, columns.labels())
        except ValueProblemError as error:
            problem = problem or str(error)
    names: list[str | None] = []
    for other in (columns.group, columns.slice, columns.split):
        try:
            names.append(None if other is None else as_name(record[other]))
        except ValueProblemError as error:
            names.append(None)
            problem = problem or f"{other} {error}"
    group, slice_, given_split = names
    if label is not None and split == UNLABELLED:
        wrong = " and ".join(columns.labels())
        problem = problem or f"{wrong} is {label!r} in a file of unlabelled rows; move the row into train"
    if columns.split:
        split = SPLIT_NAMES.get((given_split or "").strip().lower())
        if split is None and label is not None:
            problem = problem or f"{columns.split} is {record[columns.split]!r}, not train, validation or test"
    if problem:
        content, spans = type(content)(), None
    made = Row(origin, content, name, label, group, slice_, split, problem)  # by name takes longer
    made.spans = spans
    made.record = record if columns.keep_all else None
    return made


def _text(record: dict[str, Any], columns: Columns) -> tuple[str, Spans | None, str | None]:
    """Return text, spans of the texts of two columns, and problem; of several columns, those with text, below names."""
    names, texts = columns.inputs(), []
    if isinstance(columns.input, str):
        try:
            text = as_text(record[columns.input])
        except ValueProblemError as error:
            return "", None, f"{columns.input} {error}"
        return (text, None, None) if text else ("", None, f"{columns.input} is empty")
    for column in names:
        try:
            texts.append(as_text(record[column]))
        except ValueProblemError as error:
            return "", None, f"{column} {error}"
    if not any(texts):
        return "", None, f"{names[0]} is empty" if len(names) == 1 else f"{' and '.join(names)} are empty"
    text = "\n".join(f"{name}: {text}" for name, text in zip(names, texts, strict=True) if text)
    return text, _spans(names[0], texts, text) if len(names) == 2 else None, None


def _spans(name: str, texts: Sequence[str | None], text: str) -> Spans:
    """Return where the texts of two columns are in `text`, which joins them; `name`: of the first column."""
    first, second = texts
    start = len(f"{name}: ") if first else 0
    return start, start + len(first or ""), len(text) - len(second or "")


def _image(value: Any, column: str, origin: str, folder: ImageFolder) -> tuple[bytes, str | None, str | None]:
    """Return (bytes, path as the table spells it, problem).

    Args:
        value: bytes, a path, or a mapping of both, as in data sets of the hub.
        origin: file and line, for the error.

    Raises:
        HeadstartError: the path leaves the folder.
    """
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        value = _path_in_bytes(value) or value
    if is_missing(value) or value in ("", b""):
        return b"", None, f"{column} is empty"
    if isinstance(value, bytes):
        return value, None, None
    if not isinstance(value, str):
        return b"", None, f"{column} is {type(value).__name__}, not a path or the bytes of an image"
    if problem := _no_path(value):
        return b"", None, f"{column} {problem}"
    path = links.path_in(folder.path, value, follow=folder.follow_links)
    if path is None:
        raise HeadstartError(
            f"{origin}: {column} is {value!r}, which leaves the table's folder; use paths relative to it and inside it"
        )
    content, problem = images.read(path)
    return content, value, problem and f"{value} {problem}"


def _no_path(value: str) -> str | None:
    """Return why a string cannot be the path of an image, or None."""
    if image_values.is_address(value):
        return "is a web address; download the file and name its path"
    if image_values.is_image_as_text(value):
        return "is an image as text; decode it to a file and name its path"
    return None if "\0" not in value and encodes(value) else f"is {value!r}, which is not a path"


def _path_in_bytes(value: bytes) -> str | None:
    """Return the path that some tools store as bytes; None for the bytes of an image."""
    try:
        text = value.decode() if len(value) < 4096 else ""
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() and images.is_image_name(text) else None
