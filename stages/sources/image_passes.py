"""How prepare goes through images: reads all of them on all cores, and when all is known reads them again to write.

Memory holds ids, and a few images.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from stages.common import threads
from stages.common.prepare_params import PrepareParams
from stages.sources import check, ready, rows
from stages.sources.given_labels import GivenLabels
from stages.sources.notes import Notes
from stages.sources.rejections import LeftOut, Rejections
from stages.sources.row import Columns, Reading, Row
from stages.sources.selection import Selection
from stages.tables import prepared

COLUMNS = ("id", "image", "label", "group", "slice", "source")
SCHEMA = pa.schema([(name, pa.binary() if name == "image" else pa.string()) for name in COLUMNS])


class ImagePasses:
    """The rows of a table or of a folder of images: `read` all, and then again to take those that are `kept`."""

    def __init__(self, data: Path, columns: Columns, reading: Reading, settings: PrepareParams) -> None:
        """Name what to read."""
        self._rows = partial(rows, data, columns, "image", reading)
        self._settings = settings
        self._given = GivenLabels()

    def read(self, selection: Selection, unreadable: Rejections, given: GivenLabels, notes: Notes) -> None:
        """Read all rows; note what is known of them, those that cannot be used, and what is skipped."""
        self._given = given
        identify = partial(_identify, max_pixels=self._settings.max_pixels)
        found = enumerate(notes.without_skipped(self._rows()))
        identified = threads.ordered(identify, found, workers=threads.cores())
        for number, row, row_id in tqdm(identified, desc="prepare: reading", unit=" rows", disable=None):
            given.note(row, row_id)
            selection.add(number, given.join(row, row_id), row_id)
            notes.add(row)
            unreadable.add(row)

    def kept(self, selection: Selection, left_out: list[LeftOut]) -> Iterator[tuple[str, pa.Table]]:
        """Yield the rows that are kept, with the name of their table; add the others to `left_out`."""

        def finish(numbered: tuple[int, Row]) -> tuple[Row, str, tuple[str, str] | None]:
            number, row = numbered
            row_id = prepared.content_id(row.content)
            row = self._given.join(row, row_id)
            reason = selection.reason_to_leave_out(number, row, row_id)
            row = row if reason else ready(row, max_side=self._settings.max_side)
            return row, row_id, reason or (("unreadable", row.problem) if row.problem else None)

        again = enumerate(Notes().without_skipped(self._rows()))
        finished = threads.ordered(finish, again, workers=threads.cores())
        batches: dict[str, list[tuple[Any, ...]]] = {table: [] for table in prepared.TABLES}
        for row, row_id, reason in tqdm(
            finished, total=selection.rows, desc="prepare: writing", unit=" rows", disable=None
        ):
            if reason:
                left_out.append((reason[0], {"source": row.origin, "reason": reason[1]}))
                continue
            table = selection.split(row, row_id)
            batches[table].append((row_id, row.content, row.label, row.group, row.slice, row.origin))
            if len(batches[table]) == prepared.WINDOW_ROWS["image"]:
                yield table, _table(batches[table])
                batches[table].clear()
        yield from ((table, _table(batch)) for table, batch in batches.items() if batch)


def _identify(numbered: tuple[int, Row], *, max_pixels: int) -> tuple[int, Row, str]:
    """Return (row number, the row without its image and with a problem if it has one, id)."""
    number, row = numbered
    row_id = "" if row.problem else prepared.content_id(row.content)
    return number, replace(check(row, max_pixels=max_pixels), content=b""), row_id


def _table(batch: list[tuple[Any, ...]]) -> pa.Table:
    """Make a table of rows, whose values are in the order of COLUMNS."""
    return pa.table(list(zip(*batch, strict=True)), schema=SCHEMA)
