"""The feature table: id, label and feature of each row in one Parquet table; nothing is ever joined by row order.

Dense backbones write `feature: fixed_size_list<float16 or float32>[dim]`, sparse ones `indices: list<int32>` and
`values: list<float32>`. The metadata tells which backbone made the vectors, and with what settings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from scipy import sparse

from stages import shards
from stages.params import BackboneParams, ExtractParams, Modality, Section, validate

BACKBONE_FOLDER = "backbone"  # beside the training shards: what a fitted backbone needs to be restored

Matrix: TypeAlias = "np.ndarray | sparse.csr_matrix"
# From indices of training rows to the vectors of these rows, and of the test rows.
Vectors: TypeAlias = Callable[[np.ndarray], tuple["Matrix", "Matrix"]]


class Metadata(Section):
    """What made the vectors of a feature table."""

    backbone: BackboneParams
    extract: ExtractParams
    fingerprint: str
    dim: int
    sparse: bool
    input: str
    modality: Modality
    max_side: int | None


@dataclass(frozen=True)
class Features:
    """One split in memory."""

    ids: np.ndarray  # (rows,) str
    labels: np.ndarray  # (rows,) str
    X: Matrix  # (rows, dim) float32
    metadata: Metadata

    def select(self, mask: np.ndarray) -> "Features":
        """The rows where `mask`, (rows,) bool, is true."""
        return Features(self.ids[mask], self.labels[mask], self.X[mask], self.metadata)


class Writer(shards.Writer):
    """Streams one split of the feature table into shards."""

    def __init__(self, folder: Path, metadata: Metadata) -> None:
        self._metadata = metadata
        super().__init__(folder, _schema(metadata), metadata.model_dump())

    def write_rows(self, ids: Sequence[str], labels: Sequence[str], X: Matrix) -> None:
        """Append rows; `X`: (rows, dim), rounded to the stored type here."""
        columns: dict[str, pa.Array] = {
            "id": pa.array(ids, pa.string()),
            "label": pa.array(labels, pa.string()),
        }
        if isinstance(X, np.ndarray):
            flat = np.ascontiguousarray(X, dtype=self._metadata.extract.dtype).ravel()
            columns["feature"] = pa.FixedSizeListArray.from_arrays(pa.array(flat), self._metadata.dim)
        else:
            X.sort_indices()
            offsets = pa.array(X.indptr.astype(np.int32))
            columns["indices"] = pa.ListArray.from_arrays(offsets, pa.array(X.indices.astype(np.int32)))
            columns["values"] = pa.ListArray.from_arrays(offsets, pa.array(X.data.astype(np.float32)))
        self.write(pa.table(columns))


def read(features: Path, split: str) -> Features:
    """Read one split whole.

    Raises:
        HeadstartError: the table is missing, damaged, or not a feature table.
    """
    folder = features / split
    metadata = read_metadata(folder)
    table = shards.read_all(folder).combine_chunks()
    rows = table.num_rows
    X: Matrix
    if metadata.sparse:
        lists = {name: _one_chunk(table[name]) for name in ("indices", "values")}
        offsets = lists["indices"].offsets.to_numpy()
        parts = (lists["values"].values.to_numpy(), lists["indices"].values.to_numpy(), offsets)
        X = sparse.csr_matrix(parts, shape=(rows, metadata.dim), dtype=np.float32)
    else:
        X = _one_chunk(table["feature"]).flatten().to_numpy().reshape(rows, metadata.dim).astype(np.float32)
    ids, labels = (np.array(table[name].to_pylist(), dtype=object) for name in ("id", "label"))
    return Features(ids, labels, X, metadata)


def read_metadata(folder: Path) -> Metadata:
    """What made the table in `folder`, one split of a feature table."""
    return validate(Metadata, shards.metadata(folder), source=str(folder))


def _schema(metadata: Metadata) -> pa.Schema:
    identity = [pa.field("id", pa.string(), nullable=False), pa.field("label", pa.string(), nullable=False)]
    if metadata.sparse:
        return pa.schema([*identity, ("indices", pa.list_(pa.int32())), ("values", pa.list_(pa.float32()))])
    element = pa.float16() if metadata.extract.dtype == "float16" else pa.float32()
    return pa.schema([*identity, ("feature", pa.list_(element, metadata.dim))])


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])
