"""The rows as the page shows them: shortened texts or thumbnails as data URLs, and the file and line of a row."""

import base64
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from stages.common.errors import HeadstartError
from stages.common.params import Modality
from stages.evaluation.report.embedded import embedded
from stages.tables import images, prepared

MAX_CHARACTERS = 500  # of a text
THUMBNAIL_SIDE = 96  # pixels of the longer side
MAX_THUMBNAILS = 3_000
MAX_INPUT_BYTES = 10_000_000  # of all texts or thumbnails together, as they stand in the page


class Row(NamedTuple):
    """A row to show."""

    input: str | None  # None where more important rows took all bytes
    source: str  # file and line


Key = tuple[str, str]  # split and id


def read(prepared_folder: Path, modality: Modality, keys: Iterable[Key]) -> dict[Key, Row]:
    """Read the rows `keys`, the most important first, in one pass over every split.

    Raises:
        HeadstartError: a row is missing from the prepared table.
    """
    ordered = list(dict.fromkeys(keys))
    show: Callable[[Any], str] = _thumbnail if modality == "image" else _shorten
    shown = set(ordered[:MAX_THUMBNAILS] if modality == "image" else ordered)
    rows: dict[Key, Row] = {}
    for split in dict.fromkeys(split for split, _ in ordered):
        ids = [row_id for part, row_id in ordered if part == split]
        for row_id, content, source in prepared.inputs_and_sources(prepared_folder, split, modality, ids):
            rows[split, row_id] = Row(show(content) if (split, row_id) in shown else None, source)
    if missing := next((key for key in ordered if key not in rows), None):
        split, row_id = missing
        raise HeadstartError(f"{prepared_folder / split} lacks the row {row_id} of the feature table; run `dvc repro`")
    return _within_bytes({key: rows[key] for key in ordered})


def _within_bytes(rows: dict[Key, Row]) -> dict[Key, Row]:
    """Leave out the inputs from the one on that does not fit into `MAX_INPUT_BYTES`."""
    kept, bytes_left = {}, MAX_INPUT_BYTES
    for key, row in rows.items():
        bytes_left -= len(embedded(row.input).encode())
        kept[key] = row if bytes_left >= 0 else Row(None, row.source)
    return kept


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 1]}…"


def _thumbnail(content: bytes) -> str:
    picture = images.decode_prepared(content, side=THUMBNAIL_SIDE)
    picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BILINEAR)
    jpeg = io.BytesIO()
    picture.save(jpeg, "JPEG", quality=75)
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg.getvalue()).decode()}"
