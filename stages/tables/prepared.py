"""The prepared table: schema, content ids, the stable split, and the budget of training rows.

Split and budget are pure functions of a row's own id (or group) and the settings. Growing the data never moves a row
from one split to another, and identical content never straddles two.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stages.common.errors import HeadstartError
from stages.common.params import BudgetParams, Modality, Section, validate
from stages.tables import shards

SPLITS = ("train", "validation", "test")

# The column that holds the content, its type, and how many rows go into memory and into a row group at a time.
_CONTENT = {"text": pa.large_string(), "image": pa.binary()}
_GROUP_ROWS = {"text": None, "image": 256}
WINDOW_ROWS = {"text": 4_096, "image": 256}


class TableInfo(Section):
    """What prepare knows of the table: the raw column's name, `text` or `image`, and the size images were shrunk to."""

    input: str
    modality: Modality
    max_side: int | None


@dataclass(frozen=True)
class Window:
    """Some rows of a split."""

    ids: list[str]
    inputs: list[Any]  # str, or encoded bytes
    labels: list[str]


def writer(folder: Path, info: TableInfo) -> shards.Writer:
    """Writes one split: id, text or image, label, group, slice, source."""
    schema = pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field(info.modality, _CONTENT[info.modality], nullable=False),
            pa.field("label", pa.string(), nullable=False),
            pa.field("group", pa.string()),
            pa.field("slice", pa.string()),
            pa.field("source", pa.string(), nullable=False),
        ]
    )
    return shards.Writer(folder, schema, info.model_dump(), group_rows=_GROUP_ROWS[info.modality])


def content_id(content: bytes) -> str:
    """The first 16 bytes of SHA-256 over the content, in hex: the same content has one id everywhere."""
    return hashlib.sha256(content).hexdigest()[:32]


def key(content: str | bytes) -> str:
    """What a row's vector is kept under: a hash of what the encoder gets.

    It is not the row's id: that one is over the image as it came, which prepare may have shrunk since.
    """
    return content_id(content if isinstance(content, bytes) else content.encode())


def split_of(key: str, *, validation: float, test: float, seed: int) -> str:
    """The split of a row: a hash of its id or group against thresholds, so `test` is the lowest band.

    Changing `validation` moves rows between train and validation only.
    """
    position = _uniform(f"split:{seed}:{key}")
    if position < test:
        return "test"
    return "validation" if position < test + validation else "train"


def within_budget(
    ids: Sequence[str] | np.ndarray, labels: Sequence[str] | np.ndarray, budget: BudgetParams
) -> np.ndarray:
    """Which training rows may be used: for each class the `per_class` rows with the lowest hash of their id.

    A larger budget contains every smaller one with the same seed.

    Args:
        ids: (rows,)
        labels: (rows,)

    Returns:
        (rows,) boolean mask; all true where `budget.per_class` is null.
    """
    if budget.per_class is None:
        return np.ones(len(ids), dtype=bool)
    mask = np.zeros(len(ids), dtype=bool)
    rank = np.array([_uniform(f"budget:{budget.seed}:{each}") for each in ids])
    names = np.asarray(labels)
    for label in np.unique(names):
        rows = np.flatnonzero(names == label)
        mask[rows[np.argsort(rank[rows], kind="stable")][: budget.per_class]] = True
    return mask


def usable(
    ids: Sequence[str] | np.ndarray, labels: Sequence[str] | np.ndarray, budget: BudgetParams, known: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Which rows within the budget have one of the `known` labels, and the indices of their labels.

    The budget holds for validation rows too: few labels are few for everything.

    Returns:
        (rows,) boolean mask, and (usable rows,) label indices.
    """
    place = {label: index for index, label in enumerate(known)}
    mask = within_budget(ids, labels, budget) & np.array([label in place for label in labels], dtype=bool)
    names = np.asarray(labels, dtype=object)[mask]
    return mask, np.array([place[label] for label in names], dtype=np.int64)


def read(prepared_folder: Path, split: str) -> pa.Table:
    """One split of the prepared table, whole: id, text or image, label, group, slice, source."""
    return shards.read_all(prepared_folder / split)


def windows(prepared_folder: Path, split: str, modality: Modality) -> Iterator[Window]:
    """One split in order, a bounded number of rows at a time."""
    columns = ["id", modality, "label"]
    for batch in shards.read(prepared_folder / split, columns, rows=WINDOW_ROWS[modality]):
        ids, inputs, labels = (batch.column(name).to_pylist() for name in columns)
        yield Window(ids, inputs, labels)


def map_by_id(
    prepared_folder: Path,
    split: str,
    modality: Modality,
    ids: Sequence[str],
    function: Callable[[list[Any]], Iterable[Any]],
) -> list[Any]:
    """What `function` makes of the inputs of the rows `ids` of a split, in the order of `ids`.

    Args:
        function: from some inputs to as many results; called on a bounded number of rows at a time.

    Raises:
        HeadstartError: a row is missing.
    """
    wanted, found = set(ids), dict[str, Any]()
    for window in windows(prepared_folder, split, modality):
        rows = [row for row, each in enumerate(window.ids) if each in wanted]
        if rows:
            found |= zip((window.ids[row] for row in rows), function([window.inputs[row] for row in rows]), strict=True)
    if missing := next((each for each in ids if each not in found), None):
        raise HeadstartError(f"{prepared_folder / split} lacks the row {missing} of the feature table; run `dvc repro`")
    return [found[each] for each in ids]


def table_info(prepared_folder: Path) -> TableInfo:
    """What prepare wrote down of the table."""
    return validate(TableInfo, shards.metadata(prepared_folder / "train"), file=str(prepared_folder / "train"))


def _uniform(key: str) -> float:
    """A hash of `key` as a number in [0, 1)."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) / 2**64
