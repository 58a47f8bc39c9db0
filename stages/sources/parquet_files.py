"""Tables in Parquet, with the names of classes that the Hugging Face hub describes in the file's metadata."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.common.errors import HeadstartError, one_line
from stages.sources import class_names
from stages.sources.row import Columns, Reading, require

SUFFIXES = (".parquet", ".pq")
WINDOW_ROWS = 256


def records(path: Path, columns: Columns, _: Reading) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number from 1, column values) for each row.

    Raises:
        HeadstartError: the file is damaged or lacks a column.
    """
    try:
        with pq.ParquetFile(path) as file:
            require(path, columns, file.schema_arrow.names)
            described = class_names.features(file.schema_arrow)
            number = 0
            names = None if columns.keep_all else columns.names()
            for batch in file.iter_batches(batch_size=WINDOW_ROWS, columns=names):
                table = class_names.put(pa.Table.from_batches([batch]), described)
                for record in _shortest_floats(table).to_pylist():
                    number += 1
                    yield number, record
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: bytes that are not UTF-8
        raise HeadstartError(f"{path} is not readable Parquet ({one_line(error)}); write it again") from None


def _shortest_floats(table: pa.Table) -> pa.Table:
    """Read 4.1 of 32 or 16 bits as 4.1, not as 4.099999904632568, as which it would name a class."""
    for index, column in enumerate(table.schema):
        if pa.types.is_float16(column.type) or pa.types.is_float32(column.type):
            values = table.column(index).cast(pa.float32()).cast(pa.string()).cast(pa.float64())
            table = table.set_column(index, column.name, values)
    return table
