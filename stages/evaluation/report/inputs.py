"""The inputs of rows as the page shows them: shortened texts, or thumbnails as data URLs."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from PIL import Image

from stages.common.params import Modality
from stages.tables import images, prepared

MAX_CHARACTERS = 500  # of a text
THUMBNAIL_SIDE = 96  # pixels of the longer side
MAX_THUMBNAIL_BYTES = 8_000_000  # of all thumbnails together

Inputs = Mapping[str, str | None]  # id to input; None where the thumbnails before it took all bytes


def read(prepared_folder: Path, modality: Modality, ids: Mapping[str, Iterable[str]]) -> dict[str, Inputs]:
    """Read the inputs of the rows `ids` of every split.

    Raises:
        HeadstartError: a row is missing from the prepared table.
    """
    show = _Thumbnails() if modality == "image" else _shorten
    return {
        split: dict(zip(part, prepared.map_by_id(prepared_folder, split, modality, part, show), strict=True))
        for split, part in ((split, list(dict.fromkeys(part))) for split, part in ids.items())
    }


def _shorten(texts: Sequence[str]) -> list[str | None]:
    return [text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 1]}…" for text in texts]


class _Thumbnails:
    """Makes thumbnails of encoded images until they take `MAX_THUMBNAIL_BYTES`, and None after that."""

    def __init__(self) -> None:
        self._bytes_left = MAX_THUMBNAIL_BYTES

    def __call__(self, contents: Sequence[bytes]) -> list[str | None]:
        return [self._thumbnail(content) for content in contents]

    def _thumbnail(self, content: bytes) -> str | None:
        if self._bytes_left <= 0:
            return None
        picture = images.decode_prepared(content, side=THUMBNAIL_SIDE)
        picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BILINEAR)
        jpeg = io.BytesIO()
        picture.save(jpeg, "JPEG", quality=75)
        self._bytes_left -= len(jpeg.getvalue())
        return f"data:image/jpeg;base64,{base64.b64encode(jpeg.getvalue()).decode()}"
