"""How prepare goes through the texts of a table: reads all of them by column, and when all is known writes by column.

Between the two passes the checked texts wait in a temporary file.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from stages.sources import table_files
from stages.sources.blocks import Block
from stages.sources.given_labels import GivenLabels
from stages.sources.notes import Notes
from stages.sources.rejections import LeftOut, Rejections
from stages.sources.row import Columns, Reading, Row
from stages.sources.selection import Selection
from stages.tables import hashes, prepared
from stages.tables.behind import behind

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.large_string()),
        ("spans", pa.list_(pa.int32(), 3)),
        ("label", pa.string()),
        ("group", pa.string()),
        ("slice", pa.string()),
        ("source", pa.string()),
    ]
)


class TextPasses:
    """The rows of a table of texts: `read` all, and then take those that are `kept`. Use as a context manager."""

    def __init__(self, data: Path, columns: Columns, reading: Reading, folder: Path) -> None:
        """Name what to read, and the folder of the temporary file, which is as large as the texts packed by LZ4."""
        self._data, self._columns, self._reading = data, columns, reading
        folder.mkdir(parents=True, exist_ok=True)
        # Closed on leaving.
        self._file = tempfile.TemporaryFile(dir=folder, prefix=".prepare.")  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, selection: Selection, unreadable: Rejections, given: GivenLabels, notes: Notes) -> None:
        """Read all rows; note what is known of them, those that cannot be used, and what is skipped."""
        notes.skipped.extend(table_files.skipped(self._data))
        progress = tqdm(desc="prepare: reading", unit=" rows", disable=None)
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with ExitStack() as stack:
            stack.enter_context(progress)
            waiting = stack.enter_context(pa.ipc.new_stream(self._file, SCHEMA, options=options))
            write = stack.enter_context(behind(waiting.write_batch))
            for block in table_files.text_blocks(self._data, self._columns, self._reading):
                keys = hashes.content_keys(block.texts)
                given.join_block(block, keys)
                for place in sorted(block.problems):
                    unreadable.add(block.row(place))
                selection.add_block(selection.rows, block, keys)
                write(_batch(block, keys))
                progress.update(len(keys))

    def kept(self, selection: Selection, left_out: list[LeftOut]) -> Iterator[tuple[str, pa.Table]]:
        """Yield the rows that are kept, with the name of their table; add the others to `left_out`."""
        number = 0
        self._file.seek(0)
        with tqdm(total=selection.rows, desc="prepare: writing", unit=" rows", disable=None) as progress:
            for batch in pa.ipc.open_stream(self._file):
                tables = selection.tables(number, len(batch))
                rows = batch.select(["id", "label", "source"]).filter(pa.array(tables < 0)).to_pylist()
                for place, row in zip(np.flatnonzero(tables < 0).tolist(), rows, strict=True):
                    known = Row(row["source"], "", label=row["label"])
                    reason = selection.reason_to_leave_out(number + place, known, row["id"])
                    assert reason is not None
                    left_out.append((reason[0], {"source": row["source"], "reason": reason[1]}))
                for index in np.flatnonzero(np.bincount(tables[tables >= 0])):
                    yield prepared.TABLES[index], pa.Table.from_batches([batch.filter(pa.array(tables == index))])
                number += len(batch)
                progress.update(len(batch))


def _batch(block: Block, keys: np.ndarray) -> pa.RecordBatch:
    """Put rows in the form in which they wait."""
    lines = pa.array(np.asarray(block.lines, np.int64)).cast(pa.string())
    sources = pc.binary_join_element_wise(block.file, lines, ":")
    columns = (block.texts, block.spans, block.labels, block.groups, block.slices)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, list(SCHEMA)[1:-1], strict=True)]
    return pa.record_batch([hashes.ids(keys), *arrays, sources], schema=SCHEMA)
