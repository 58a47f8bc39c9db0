"""Read one unlabelled row at a time: its text, pair of texts or picture.

Memory holds the place of every row, and one row group of Parquet while a row of it is read.
"""

import io
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import pyarrow.parquet as pq

from stages.common.errors import HeadstartError, one_line
from stages.tables import images, prepared, shards

MAX_CHARACTERS = 100_000  # of a text that is shown
MAX_SIDE = 1_024  # pixels of a picture that is shown
AGAIN = "while `dvc repro` runs, wait: the page goes on by itself; else run it"


class UnreadableError(HeadstartError):
    """The tables are being made again, or are damaged."""


@dataclass(frozen=True)
class Input:
    """What a person sees of a row: texts with headings, or a picture, which is fetched by its id."""

    texts: tuple[tuple[str, str], ...]  # heading, which may be empty, and text; none of a picture
    source: str  # file and line, or the file of a picture

    @property
    def name(self) -> str:
        """Return what stands for the row in the file of labels."""
        return " | ".join(text for _, text in self.texts) if self.texts else PurePath(self.source).name


class Inputs:
    """The rows of one table of unlabelled rows."""

    def __init__(self, prepared_folder: Path) -> None:
        """Read where the rows are, from the footers of the shards."""
        self.info = prepared.read_info(prepared_folder)
        self._folder = prepared_folder / prepared.UNLABELLED
        self._starts = [0]  # of every row group, and the end
        self._groups: list[tuple[Path, int]] = []  # shard, and number in it
        for path in shards.paths(self._folder):
            with _opened(path) as shard:
                for group in range(shard.num_row_groups):
                    self._groups.append((path, group))
                    self._starts.append(self._starts[-1] + shard.metadata.row_group(group).num_rows)

    def read(self, row: int, row_id: str) -> Input:
        """Read a row without its picture.

        Raises:
            HeadstartError: the table was replaced.
        """
        info = self.info
        columns = ["source"] if info.modality == "image" else ["source", "text", *(["spans"] if info.has_pairs else [])]
        values = self._values(row, row_id, columns)
        if info.modality == "image":
            return Input((), values["source"])
        if not info.has_pairs:
            return Input((("", _shortened(values["text"])),), values["source"])
        texts = prepared.pair(values["text"], values["spans"])
        return Input(tuple(zip(info.input, map(_shortened, texts), strict=True)), values["source"])

    def picture(self, row: int, row_id: str) -> bytes:
        """Read the picture of a row, encoded anew as PNG: a browser gets no byte of the file itself.

        Raises:
            HeadstartError: the table was replaced, or holds no pictures.
        """
        if self.info.modality != "image":
            raise HeadstartError(f"{self._folder} holds no pictures")
        picture = images.decode_prepared(self._values(row, row_id, ["image"])["image"], side=MAX_SIDE)
        picture.thumbnail((MAX_SIDE, MAX_SIDE))
        out = io.BytesIO()
        picture.save(out, "PNG", compress_level=1)
        return out.getvalue()

    def _values(self, row: int, row_id: str, columns: list[str]) -> dict[str, Any]:
        number = bisect_right(self._starts, row) - 1
        path, group = self._groups[number]
        with _opened(path) as shard:
            replaced = group >= shard.num_row_groups
            if not replaced:
                table = shard.read_row_group(group, columns=["id", *columns])
                rows = table.slice(row - self._starts[number], 1).to_pylist()
                replaced = not rows or rows[0]["id"] != row_id
        if replaced:
            raise UnreadableError(f"{self._folder} was made again; {AGAIN}")
        return dict(rows[0])


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a shard; one that is gone or cannot be read is being made again, as far as the page is concerned."""
    try:
        with pq.ParquetFile(path) as shard:
            yield shard
    except shards.UNREADABLE as error:
        raise UnreadableError(f"{path} cannot be read ({one_line(error)}); {AGAIN}") from None


def _shortened(text: str) -> str:
    """Return a text as far as it is shown."""
    more = len(text) - MAX_CHARACTERS
    return text if more <= 0 else f"{text[:MAX_CHARACTERS]} … and {more:,} more characters"
