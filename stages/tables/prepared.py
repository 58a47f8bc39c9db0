"""The prepared table: schema, content ids, and the budget of training rows.

Rows without a label are a fourth table, `unlabelled`, of the same columns with null as every label. Whether a row is
there depends on itself alone, not on seed or shares. None of them has the content of a labelled row, so that nothing
learned from them knows a test row. Without such rows the table is there too, empty, as DVC needs what it is told of.

Rows of the class `prepare.unknown`, which belong to no class of the model, are in a folder of the split that they would
be in: `train/unknown`, and so on, where there is such a class. So nothing that reads a split sees them.
"""

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.common.errors import HeadstartError
from stages.common.params import BudgetParams, Combine, Modality
from stages.common.section import validate
from stages.common.setting_types import ColumnNames, TaskName
from stages.tables import hashes, label_texts, shards
from stages.tables.label_info import LabelInfo

SPLITS = ("train", "validation", "test")
UNLABELLED = "unlabelled"
# The unlabelled rows again, where training is to learn from them; else empty, so that more of them change nothing that
# a model depends on.
LEARNING = "train_unlabelled"
TABLES = (*SPLITS, UNLABELLED)
UNKNOWN = tuple(f"{split}/unknown" for split in SPLITS)

Pair = tuple[str, str]
# Where the texts of two columns are in the text that joins them: start and end of the first, start of the second, which
# ends with the text; in characters.
Spans = tuple[int, int, int]

_TYPES = {"text": pa.large_string(), "image": pa.binary(), "spans": pa.list_(pa.int32(), 3)}
_GROUP_ROWS = {"text": None, "image": 256}  # of a Parquet row group
WINDOW_ROWS = {"text": 4_096, "image": 256}  # in memory at a time


class TableInfo(LabelInfo):
    """What prepare stores about the table as a whole."""

    input: ColumnNames  # the raw column, or those that were joined
    modality: Modality
    encoding: str = "utf-8"  # of the raw text files
    sheet: str | None = None  # of the raw spreadsheet
    max_side: int | None  # pixels that images were shrunk to
    max_pixels: int | None = None  # of the largest image that was read

    @property
    def has_pairs(self) -> bool:
        """Whether every text joins those of two columns."""
        return self.modality == "text" and not isinstance(self.input, str) and len(self.input) == 2


@dataclass(frozen=True)
class Window:
    """A few consecutive rows of a split."""

    ids: list[str]
    inputs: list[Any]  # str, pairs of str, or encoded bytes
    labels: list[str | None]  # None in the table of unlabelled rows
    groups: list[str | None]

    def select(self, rows: Sequence[int]) -> "Window":
        """Return the chosen rows."""
        columns: tuple[list[Any], ...] = (self.ids, self.inputs, self.labels, self.groups)
        return Window(*([column[row] for row in rows] for column in columns))


def writer(folder: Path, info: TableInfo) -> shards.Writer:
    """Return a writer of the table that `folder` is named after, a split or the unlabelled rows.

    Its columns are id, text or image, label, group, slice, source; of pairs also spans.
    """
    return shards.Writer(folder, _schema(info, folder.name), info.model_dump(), group_rows=_GROUP_ROWS[info.modality])


def content_id(content: str | bytes | Pair) -> str:
    """Return the first 16 bytes of SHA-256 over the content, in hex: the same content has the same id everywhere.

    A row's id is that of its raw content. The row cache's key of a vector is the id of the encoder's input, which
    differs from the row's id if prepare shrank the image, and for a pair of texts.
    """
    if isinstance(content, tuple):  # with the length of the first text: two pairs may have the same characters
        content = f"{len(content[0])}:{''.join(content)}"
    data = content if isinstance(content, bytes) else content.encode()
    return hashlib.sha256(data).hexdigest()[:32]


def uniform(key: str) -> float:
    """Return a hash of `key` as a number in [0, 1)."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) / 2**64


def sample_unlabelled(ids: Collection[str], count: int) -> Collection[str]:
    """Return the `count` ids of unlabelled rows with the lowest hashes, or all: a larger count keeps a smaller one."""
    if count >= len(ids):
        return ids
    return heapq.nsmallest(count, ids, key=lambda row_id: uniform(f"unlabelled:{row_id}"))


def within_budget(
    ids: Sequence[str] | np.ndarray,
    labels: Sequence[str] | np.ndarray,
    budget: BudgetParams,
    task: TaskName = "single",
) -> np.ndarray:
    """Return which rows the budget allows: per class the `per_class` rows with the lowest hash of their id.

    A row of several labels is allowed by any of them; rows to which none applies are a class of their own, and so are
    all rows of numbers. A larger budget contains every smaller one with the same seed.

    Args:
        ids: (rows,)
        labels: (rows,)

    Returns:
        (rows,) boolean mask; all true if `budget.per_class` is null.
    """
    if budget.per_class is None:
        return np.ones(len(ids), dtype=bool)
    mask = np.zeros(len(ids), dtype=bool)
    rank = hashes.uniforms(f"budget:{budget.seed}:", ids)
    classes_of = {label: label_texts.classes(label, task) or ("",) for label in set(labels)}
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, label in enumerate(labels):
        for name in classes_of[label]:
            rows_of[name].append(row)
    for rows in map(np.array, rows_of.values()):
        mask[rows[np.argsort(rank[rows], kind="stable")][: budget.per_class]] = True
    return mask


def tables(prepared_folder: Path) -> tuple[str, ...]:
    """Name all tables: the splits, the unlabelled rows and, where a class is unknown, its rows by split."""
    return (*TABLES, *(table for table in UNKNOWN if (prepared_folder / table).exists()))


def unknown(split: str) -> str:
    """Name the table of the unknown rows of a split."""
    return UNKNOWN[SPLITS.index(split)]


def read(prepared_folder: Path, split: str) -> pa.Table:
    """Read one split whole: id, text or image, label, group, slice, source; of pairs also spans."""
    info = validate(TableInfo, shards.metadata(prepared_folder / split), file=str(prepared_folder / split))
    return shards.read_all(prepared_folder / split, _schema(info, split))


def identities(prepared_folder: Path, split: str) -> pa.Table:
    """Read id, label and group of the rows of a split."""
    return shards.read_all(prepared_folder / split, _fields(("id", "label", "group"), split))


def slices(prepared_folder: Path, split: str) -> pa.Table:
    """Read id, slice and group of the rows of a split."""
    return shards.read_all(prepared_folder / split, _fields(("id", "slice", "group")))


def inputs_and_sources(
    prepared_folder: Path, split: str, modality: Modality | None, ids: Iterable[str]
) -> Iterator[tuple[str, Any, str]]:
    """Yield id, input, and file and line of the rows `ids` of a split that are there, in the table's order.

    Without a modality inputs are not read, but None.
    """
    wanted, columns = pa.array(set(ids), pa.string()), ("id", modality or "id", "source")
    for batch in shards.read(
        prepared_folder / split, _fields(dict.fromkeys(columns)), rows=WINDOW_ROWS[modality or "text"]
    ):
        rows = batch.filter(pc.is_in(batch["id"], value_set=wanted))
        for row_id, content, source in zip(*(rows.column(name).to_pylist() for name in columns), strict=True):
            yield row_id, content if modality else None, source


def windows(prepared_folder: Path, split: str, modality: Modality, *, combine: Combine = "join") -> Iterator[Window]:
    """Yield the rows of one split in order, a bounded number at a time; `combine` as in `inputs`."""
    columns = ("id", "label", "group", *input_columns(modality, combine))
    for batch in shards.read(prepared_folder / split, _fields(columns, split), rows=WINDOW_ROWS[modality]):
        ids, labels, groups = (batch.column(name).to_pylist() for name in ("id", "label", "group"))
        yield Window(ids, inputs(batch, modality, combine=combine), labels, groups)


def has_groups(prepared_folder: Path, split: str) -> bool:
    """Tell whether any row of a split is in a group."""
    batches = shards.read(prepared_folder / split, _fields(("group",)))
    return any(batch.column("group").null_count < batch.num_rows for batch in batches)


def group_names(ids: Iterable[str], groups: Sequence[str | None]) -> np.ndarray | None:
    """Name the group of every row, (rows,) str; one without a group is its own. None where no row has a group."""
    if not any(groups):
        return None
    named = [f"group {group}" if group else own for own, group in zip(own_groups(ids), groups, strict=True)]
    return np.array(named, dtype=object)


def own_groups(ids: Iterable[str]) -> np.ndarray:
    """Name the groups of rows that stand alone: (rows,) str."""
    return np.array([f"row {row_id}" for row_id in ids], dtype=object)


def input_columns(modality: Modality, combine: Combine) -> tuple[str, ...]:
    """List the columns that `inputs` needs."""
    return (modality, "spans") if combine == "pair" else (modality,)


def inputs(rows: pa.Table | pa.RecordBatch, modality: Modality, *, combine: Combine) -> list[Any]:
    """List what the backbone reads of rows: texts or encoded images, or with `pair` the texts of two columns."""
    contents: list[Any] = rows.column(modality).to_pylist()
    if combine == "join":
        return contents
    return [pair(*row) for row in zip(contents, rows.column("spans").to_pylist(), strict=True)]


def pair(text: str, spans: Spans) -> Pair:
    """Take the texts of two columns out of the text that joins them; one of them may be empty."""
    first, end, second = spans
    return text[first:end], text[second:]


def map_by_id(
    prepared_folder: Path,
    split: str,
    modality: Modality,
    ids: Sequence[str],
    function: Callable[[list[Any]], Iterable[Any]],
    *,
    combine: Combine = "join",
) -> list[Any]:
    """Apply `function` to the inputs of the rows `ids` of a split, and return its results in the order of `ids`.

    Args:
        combine: as in `inputs`.
        function: maps a list of inputs to one result each; called with a bounded number of rows at a time.

    Raises:
        HeadstartError: a row is missing.
    """
    wanted = set(ids)
    results: dict[str, Any] = {}
    for window in windows(prepared_folder, split, modality, combine=combine):
        rows = [row for row, row_id in enumerate(window.ids) if row_id in wanted]
        if rows:
            outputs = function([window.inputs[row] for row in rows])
            results |= zip((window.ids[row] for row in rows), outputs, strict=True)
    if missing := next((row_id for row_id in ids if row_id not in results), None):
        raise missing_row(prepared_folder / split, missing)
    return [results[row_id] for row_id in ids]


def missing_row(folder: Path, row_id: str) -> HeadstartError:
    """Return the error for a row of the feature table that a table in `folder` lacks."""
    return HeadstartError(f"{folder} lacks the row {row_id} of the feature table; run `dvc repro`")


def read_info(prepared_folder: Path) -> TableInfo:
    """Read what prepare stored about the table."""
    return validate(TableInfo, shards.metadata(prepared_folder / "train"), file=str(prepared_folder / "train"))


def is_shard(path: Path) -> bool:
    """Tell whether a file is a shard of a prepared table."""
    keys = shards.metadata_keys(path)
    return "modality" in keys and "fingerprint" not in keys  # which a feature table has


def _schema(info: TableInfo, split: str) -> pa.Schema:
    spans = ("spans",) if info.has_pairs else ()
    return _fields(("id", info.modality, *spans, "label", "group", "slice", "source"), split)


def _fields(names: Iterable[str], split: str = "train") -> pa.Schema:
    """Return the columns of these names, with their types; only group, slice and an unlabelled row's label are null."""
    nullable = ("group", "slice", *(["label"] if split in (UNLABELLED, LEARNING) else []))
    return pa.schema([pa.field(name, _TYPES.get(name, pa.string()), nullable=name in nullable) for name in names])
