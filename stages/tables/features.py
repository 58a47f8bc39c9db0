"""The feature table: id, label and feature of every row in one Parquet table; nothing is ever joined by row order.

Dense backbones write `feature: fixed_size_list<float16 or float32>[dim]`, sparse ones `indices: list<int32>` and
`values: list<float32>`. Encoders of texts add `tokens: int32`, the length of every whole text, and
`unclear: int32`, its tokens that are unknown or single letters. A split with groups has `group`. In the tables of
unlabelled rows every label is null. The metadata names the backbone and the settings that made the vectors.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import scipy
from pydantic import Field

from stages.common.errors import damaged
from stages.common.params import Backbones, BudgetParams, ExtractParams, Modality
from stages.common.section import validate
from stages.common.setting_types import ColumnNames
from stages.tables import prepared, shards
from stages.tables.label_info import LabelInfo

TABLES = (*prepared.TABLES, *prepared.UNKNOWN, prepared.LEARNING)

BACKBONE_FOLDER = "backbone"  # beside the training shards: files to restore a fitted backbone from
# The second: where several backbones are joined, whose files are in folders named by their positions.
BACKBONE_FILES = tuple(f"{BACKBONE_FOLDER}/{path}" for path in ("vocabulary.parquet", "*/vocabulary.parquet"))

COUNTS = [pa.field(name, pa.int32(), nullable=False) for name in ("tokens", "unclear")]
IDENTITY = pa.schema([pa.field(name, pa.string(), nullable=False) for name in ("id", "label")])
GROUP = pa.field("group", pa.string())

Matrix: TypeAlias = "np.ndarray | scipy.sparse.csr_matrix"


class Metadata(LabelInfo):
    """How the vectors of a feature table were made."""

    backbone: Backbones
    extract: ExtractParams
    fingerprint: str
    dim: int = Field(ge=1, lt=2**31)
    sparse: bool
    input: ColumnNames
    modality: Modality
    encoding: str = "utf-8"
    sheet: str | None = None
    max_side: int | None
    max_pixels: int | None = None
    max_length: int | None = None  # tokens that the backbone reads of a text at a time; None: there are no tokens


@dataclass(frozen=True)
class Features:
    """One split in memory."""

    ids: np.ndarray  # (rows,) str
    labels: np.ndarray  # (rows,) str; None of unlabelled rows
    X: Matrix  # (rows, dim) float32, or float16 as `read` was told to keep it: then `single` gives float32
    metadata: Metadata
    is_long: np.ndarray | None = None  # (rows,) bool: texts with more tokens than are read at a time
    unclear_share: float = 0.0  # of the tokens: unknown ones and single letters
    groups: np.ndarray | None = None  # (rows,) as `groups` returns them
    splits: np.ndarray | None = None  # (rows,) names of splits, where rows of several are together

    @property
    def cut_rows(self) -> int:
        """Number of texts whose end was not read."""
        return 0 if self.is_long is None or self.metadata.extract.long == "chunks" else int(self.is_long.sum())

    def split_names(self, default: str) -> np.ndarray:
        """Name the split of every row, (rows,) str; rows of one split are `default`."""
        return np.full(len(self.ids), default, dtype=object) if self.splits is None else self.splits

    def by_split(self, default: str) -> "dict[str, Features]":
        """Divide rows of several splits; those of one split are `default`."""
        if self.splits is None:
            return {default: self}
        return {split: self.select(self.splits == split) for split in dict.fromkeys(self.splits)}

    def single(self, rows: np.ndarray) -> Matrix:
        """Return the vectors of chosen rows in float32; `rows`: (chosen,) indices or (rows,) bool."""
        return self.X[rows].astype(np.float32, copy=False)

    def without_vectors(self) -> "Features":
        """Return the rows with vectors of no dimensions, which take no memory."""
        return replace(self, X=np.empty((len(self.ids), 0), dtype=np.float32))

    def select(self, rows: np.ndarray) -> "Features":
        """Return the chosen rows; `rows`: (chosen,) indices or (rows,) bool."""
        is_long = None if self.is_long is None else self.is_long[rows]
        groups, splits = (None if names is None else names[rows] for names in (self.groups, self.splits))
        identity = self.ids[rows], self.labels[rows]
        return Features(*identity, self.X[rows], self.metadata, is_long, groups=groups, splits=splits)


def joined(parts: Mapping[str, Features]) -> Features:
    """Put the rows of splits one after another.

    Args:
        parts: name of a split to its rows, of one feature table.
    """
    several, counts = list(parts.values()), [len(part.ids) for part in parts.values()]
    metadata, groups, vectors = several[0].metadata, None, [part.X for part in several]
    if any(part.groups is not None for part in several):
        groups = np.concatenate(
            [prepared.own_groups(part.ids) if part.groups is None else part.groups for part in several]
        )
    return Features(
        np.concatenate([part.ids for part in several]),
        np.concatenate([part.labels for part in several]),
        scipy.sparse.vstack(vectors, format="csr") if metadata.sparse else np.concatenate(vectors),
        metadata,
        None if metadata.max_length is None else np.concatenate([part.is_long for part in several]),
        sum(part.unclear_share * count for part, count in zip(several, counts, strict=True)) / max(sum(counts), 1),
        groups,
        np.repeat(np.array([*parts], dtype=object), counts),
    )


def is_shard(path: Path) -> bool:
    """Tell whether a file is a shard of a feature table."""
    return "fingerprint" in shards.metadata_keys(path)


def read(features_folder: Path, split: str, budget: BudgetParams | None = None, *, as_stored: bool = False) -> Features:
    """Read one split into memory, with a `budget` only the rows that it allows.

    With `as_stored`, vectors that the table has in float16 stay so, and take half the memory.

    Raises:
        HeadstartError: the table is missing, damaged, or no feature table.
    """
    metadata = read_metadata(features_folder / split)
    ids, labels = identities(features_folder, split)
    rows = (
        np.arange(len(ids))
        if budget is None
        else np.flatnonzero(prepared.within_budget(ids, labels, budget, metadata.task))
    )
    is_long, unclear_share = None, 0.0
    if metadata.max_length is not None:
        counts = shards.read_all(features_folder / split, pa.schema(COUNTS))
        tokens, unclear = (counts[field.name].to_numpy()[rows] for field in COUNTS)
        is_long = tokens > metadata.max_length
        unclear_share = float(unclear.sum() / max(tokens.sum(), 1))
    named = groups(features_folder, split)
    return Features(
        ids[rows],
        labels[rows],
        vectors(features_folder, split, rows, as_stored=as_stored),
        metadata,
        is_long,
        unclear_share,
        None if named is None else named[rows],
    )


def read_unknown(features_folder: Path, split: str, budget: BudgetParams | None = None) -> Features | None:
    """Read the rows of the class `prepare.unknown` in a split, as `read` does; None where there are none."""
    table = prepared.unknown(split)
    rows = read(features_folder, table, budget) if (features_folder / table).exists() else None
    return rows if rows and len(rows.ids) else None


def vectors(features_folder: Path, split: str, rows: np.ndarray, *, as_stored: bool = False) -> Matrix:
    """Read the vectors of chosen rows of one split, as `matrices` does, into one matrix: (rows, dim)."""
    metadata = read_metadata(features_folder / split)
    if metadata.sparse:
        no_rows = scipy.sparse.csr_matrix((0, metadata.dim), dtype=np.float32)  # vstack needs a matrix
        return scipy.sparse.vstack([*matrices(features_folder, split, rows), no_rows], format="csr")
    X, start = np.empty((len(rows), metadata.dim), metadata.extract.dtype if as_stored else np.float32), 0
    for part in matrices(features_folder, split, rows, as_stored=as_stored):
        X[start : start + len(part)] = part
        start += len(part)
    return X


def identities(features_folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Read ids and labels of one split, without the vectors: (rows,) str and (rows,) str, None of unlabelled rows."""
    table = shards.read_all(features_folder / split, identity(split))
    labels = table["label"].combine_chunks().dictionary_encode()
    names = np.array([*labels.dictionary.to_pylist(), None], dtype=object)  # rows share the names, which saves memory
    codes = labels.indices.fill_null(len(names) - 1).to_numpy()
    return np.array(table["id"].to_pylist(), dtype=object), names[codes]


def groups(features_folder: Path, split: str) -> np.ndarray | None:
    """Read the groups of one split, as `prepared.group_names` names them: (rows,) str, or None where there are none."""
    if GROUP.name not in shards.schema(features_folder / split).names:
        return None
    table = shards.read_all(features_folder / split, pa.schema([IDENTITY.field("id"), GROUP]))
    return prepared.group_names(*(table[name].to_pylist() for name in table.column_names))


def matrices(features_folder: Path, split: str, rows: np.ndarray, *, as_stored: bool = False) -> Iterator[Matrix]:
    """Yield the vectors of chosen rows of one split in order, a bounded number at a time: (part, dim) float32.

    Args:
        rows: (rows,) ascending indices into the table.
        as_stored: keep the type of the table, float16 or float32.
    """
    metadata = read_metadata(features_folder / split)
    start = 0
    for batch in shards.read(features_folder / split, pa.schema(_vector_fields(metadata))):
        first, last = np.searchsorted(rows, [start, start + batch.num_rows])
        chosen = rows[first:last] - start  # indices into this batch
        start += batch.num_rows
        if len(chosen):
            try:
                X = _matrix(batch, metadata)
            except (ValueError, pa.ArrowException) as error:
                raise damaged(features_folder / split, error) from None
            yield X[chosen].astype(X.dtype if as_stored else np.float32, copy=False)


def _matrix(batch: pa.RecordBatch, metadata: Metadata) -> Matrix:
    """Give the vectors of a batch: (rows, dim).

    Raises:
        ValueError, pa.ArrowException: a vector has nulls, non-finite values, or indices that are out of range.
    """
    X: Matrix
    if metadata.sparse:
        offsets = batch["values"].offsets.to_numpy()
        parts = (*(batch[name].flatten().to_numpy() for name in ("values", "indices")), offsets - offsets[0])
        X = scipy.sparse.csr_matrix(parts, shape=(batch.num_rows, metadata.dim), dtype=np.float32)
        X.check_format()
        values = X.data
    else:
        X = values = batch["feature"].flatten().to_numpy().reshape(batch.num_rows, metadata.dim)
    if not np.isfinite(values).all():
        raise ValueError("a vector holds values that are not finite")
    return X


def read_metadata(folder: Path) -> Metadata:
    """Read the metadata of `folder`, one split of a feature table, and check that its columns fit."""
    metadata = validate(Metadata, shards.metadata(folder), file=str(folder))
    shards.check_types(folder, schema(metadata))
    return metadata


def identity(split: str) -> pa.Schema:
    """Return the columns id and label; labels of unlabelled rows are null."""
    if split in (prepared.UNLABELLED, prepared.LEARNING):
        return IDENTITY.set(1, IDENTITY.field("label").with_nullable(True))
    return IDENTITY


def schema(metadata: Metadata, split: str = "train") -> pa.Schema:
    """Return the columns of a split of a feature table, without groups."""
    tokens = [] if metadata.max_length is None else COUNTS
    return pa.schema([*identity(split), *_vector_fields(metadata), *tokens])


def _vector_fields(metadata: Metadata) -> list[pa.Field]:
    if metadata.sparse:
        return [pa.field("indices", pa.list_(pa.int32())), pa.field("values", pa.list_(pa.float32()))]
    element = pa.float16() if metadata.extract.dtype == "float16" else pa.float32()
    return [pa.field("feature", pa.list_(element, metadata.dim))]
