"""Tables as Parquet shards: `part-00000.parquet`, … with zstd, in raw order, the same bytes for the same rows.

A shard holds at most 65,536 rows or 256 MB, so appended rows change only the last shards and `dvc push` sends only
those. The bytes are repeatable, because row groups depend on row count and size alone, never on how the rows arrived.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from stages.common.errors import HeadstartError, damaged

SHARD_ROWS = 65_536
SHARD_BYTES = 256 * 2**20
GROUP_ROWS = 8_192
METADATA_KEY = b"headstart"
UNREADABLE = (pa.ArrowException, OSError)  # what pyarrow raises for damaged files


class Writer:
    """Writes one table as shards. Use as a context manager."""

    def __init__(
        self, folder: Path, schema: pa.Schema, metadata: dict[str, Any], *, group_rows: int | None = None
    ) -> None:
        """Prepare to write a table.

        Args:
            folder: for the shards; created if missing.
            schema: columns of the table.
            metadata: written into each shard as JSON, read back by `metadata()`.
            group_rows: rows per row group, the least that a reader holds in memory.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.schema = schema
        self._schema = schema.with_metadata({METADATA_KEY: json.dumps(metadata, sort_keys=True)})
        # Images never repeat: Parquet would build a dictionary of them only to drop it.
        self._dictionary = [field.name for field in schema if not pa.types.is_binary(field.type)]
        self._group_rows = group_rows or GROUP_ROWS
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        self._shard: pq.ParquetWriter | None = None
        self._shards = 0
        self._rows = 0  # in the open shard
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        # A table without rows is one shard too, which carries the schema.
        if kind is None and (self._pending_rows or not self._shards):
            self._flush(self._pending_rows)
        if self._shard:
            self._shard.close()

    def write(self, table: pa.Table) -> None:
        """Append rows; columns are matched by name and must have the schema's types."""
        self._pending.append(table.select(self._schema.names))
        self._pending_rows += table.num_rows
        while self._pending_rows >= self._group_rows:
            self._flush(self._group_rows)

    def _flush(self, rows: int) -> None:
        pending = pa.concat_tables(self._pending) if self._pending else self._schema.empty_table()
        self._pending = [pending.slice(rows)]
        self._pending_rows -= rows
        # One chunk per column: chunk borders would show in the bytes of the file.
        self._write_group(pending.slice(0, rows).combine_chunks())

    def _write_group(self, group: pa.Table) -> None:
        """Write a row group, in halves if it is too large for a shard; begin another shard where this one is full."""
        if group.nbytes > SHARD_BYTES and group.num_rows > 1:
            half = group.num_rows // 2
            self._write_group(group.slice(0, half).combine_chunks())
            self._write_group(group.slice(half).combine_chunks())
            return
        if self._shard and (self._rows + group.num_rows > SHARD_ROWS or self._bytes + group.nbytes > SHARD_BYTES):
            self._shard.close()
            self._shard = None
        if self._shard is None:
            path = self._folder / f"part-{self._shards:05d}.parquet"
            self._shard = pq.ParquetWriter(path, self._schema, compression="zstd", use_dictionary=self._dictionary)
            self._shards += 1
            self._rows = self._bytes = 0
        self._shard.write_table(group.cast(self._schema), row_group_size=max(group.num_rows, 1))
        self._rows += group.num_rows
        self._bytes += group.nbytes


def read(folder: Path, fields: pa.Schema | None = None, *, rows: int = GROUP_ROWS) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a table in order, at most `rows` at a time, with one row group in memory.

    Args:
        fields: the columns to read, with the types that they must have; None for all of any type.

    Raises:
        HeadstartError: the folder holds no shards, or a shard cannot be read or has not these columns.
    """
    for path in paths(folder):
        try:
            with pq.ParquetFile(path) as shard:
                if fields is not None:
                    _check_types(path, shard.schema_arrow, fields)
                for batch in shard.iter_batches(batch_size=rows, columns=fields and fields.names):
                    batch.validate(full=True)  # finds bytes that are not UTF-8, and wrong offsets, in a damaged page
                    yield batch if fields is None else _with_fields(path, batch, fields)
        except UNREADABLE as error:
            raise damaged(path, error) from None


def check_types(folder: Path, fields: pa.Schema) -> None:
    """Raise a HeadstartError unless the first shard of a table has the columns `fields`, with their types."""
    _check_types(paths(folder)[0], schema(folder), fields)


def _check_types(path: Path, schema: pa.Schema, fields: pa.Schema) -> None:
    """Raise a HeadstartError unless a shard with this schema has the columns `fields`."""
    for field in fields:
        if (columns := schema.names.count(field.name)) != 1:
            number = f"{columns} columns" if columns else "no column"
            raise HeadstartError(f"{path} has {number} {field.name}; run `dvc repro` to make it again")
        if (actual := schema.field(field.name).type) != field.type:
            raise HeadstartError(
                f"{path} has {field.name} of type {actual}, but it must be {field.type}; run `dvc repro` to make it"
                " again"
            )


def _with_fields(path: Path, batch: pa.RecordBatch, fields: pa.Schema) -> pa.RecordBatch:
    """Give a batch with the columns `fields`, in their order."""
    for field in fields:
        if not field.nullable and batch.column(field.name).null_count:
            raise HeadstartError(f"{path} has a row without {field.name}; run `dvc repro` to make it again")
    return pa.RecordBatch.from_arrays([batch.column(name) for name in fields.names], schema=fields)


def read_all(folder: Path, fields: pa.Schema | None = None) -> pa.Table:
    """Read the whole table, or the columns `fields` of it; one without rows keeps its schema."""
    wanted = schema(folder).remove_metadata() if fields is None else fields
    return pa.Table.from_batches(read(folder, fields), schema=wanted)


def schema(folder: Path) -> pa.Schema:
    """Read the columns and types of a table."""
    path = paths(folder)[0]
    try:
        return pq.read_schema(path)
    except UNREADABLE as error:
        raise damaged(path, error) from None


def metadata(folder: Path) -> dict[str, Any]:
    """Read the `metadata` that the writer was given."""
    return metadata_of_shard(paths(folder)[0])


def metadata_of_shard(path: Path) -> dict[str, Any]:
    """Read the `metadata` in one shard."""
    try:
        content = json.loads((pq.read_schema(path).metadata or {})[METADATA_KEY])
    except (*UNREADABLE, KeyError, ValueError) as error:
        raise damaged(path, error) from None
    if not isinstance(content, dict):
        raise damaged(path, TypeError("its metadata is not a mapping"))
    return content


def metadata_keys(path: Path) -> set[str]:
    """Read the keys of the `metadata` in one shard; none where the file is no shard of ours."""
    try:
        return set(metadata_of_shard(path))
    except HeadstartError:
        return set()


def count(folder: Path) -> int:
    """Count the rows, from the footers alone."""
    rows = 0
    for path in paths(folder):
        try:
            rows += pq.read_metadata(path).num_rows
        except UNREADABLE as error:
            raise damaged(path, error) from None
    return rows


def paths(folder: Path) -> list[Path]:
    """List the shards of a table, in order.

    Raises:
        HeadstartError: there are none.
    """
    shards = sorted(folder.glob("part-*.parquet"))
    if not shards:
        raise HeadstartError(f"{folder} holds no part-*.parquet; run `dvc repro` to make it")
    return shards
