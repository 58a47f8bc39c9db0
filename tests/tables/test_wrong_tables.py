"""Parquet between stages whose columns are of other types or shapes, missing, or not numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, ExtractParams
from stages.evaluation import slices
from stages.tables import feature_writer, features, prepared, shards

ROWS = 6
Change = Callable[[pa.Table], pa.Table]


def write_features(folder: Path, *, is_sparse: bool) -> Path:
    X = np.arange(ROWS * 4, dtype=np.float32).reshape(ROWS, 4) / 10
    metadata = features.Metadata(
        backbone=BackboneParams(family="tfidf", name="word"),
        extract=ExtractParams(),
        fingerprint="0" * 64,
        dim=4,
        sparse=is_sparse,
        input="text",
        modality="text",
        max_side=None,
    )
    with feature_writer.Writer(folder / "train", metadata) as writer:
        writer.write_rows(
            [f"{row:032x}" for row in range(ROWS)], list("ababab"), sparse.csr_matrix(X) if is_sparse else X
        )
    return folder / "train/part-00000.parquet"


def write_prepared(folder: Path) -> Path:
    info = prepared.TableInfo(input="text", modality="text", max_side=None)
    for split in prepared.SPLITS:
        with prepared.writer(folder / split, info) as writer:
            names = ("id", "text", "label", "group", "slice", "source")
            writer.write(
                pa.table({name: [f"{name} {row}" for row in range(ROWS)] for name in names}).cast(writer.schema)
            )
    return folder / "test/part-00000.parquet"


def change(path: Path, how: Change) -> None:
    table = pq.read_table(path)
    changed = how(table)
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), path)


def column(name: str, values: Any, kind: pa.DataType | None = None) -> Change:
    return lambda table: table.set_column(table.column_names.index(name), name, pa.array(values, kind))


def vectors(*values: float, kind: pa.DataType) -> pa.Array:
    return pa.array([[*values]] * ROWS, pa.list_(kind, len(values)))


DENSE: dict[str, tuple[Change, str]] = {
    "features of text": (
        column("feature", ["a"] * ROWS),
        r"has feature of type string, but it must be fixed_size_list",
    ),
    "features of lists of text": (
        column("feature", [["a"] * 4] * ROWS, pa.list_(pa.string(), 4)),
        "has feature of type",
    ),
    "features of other dimensions": (column("feature", vectors(1, 2, 3, kind=pa.float16())), "has feature of type"),
    "features of any dimensions": (column("feature", [[1.0]] * ROWS), "has feature of type list"),
    "features of whole numbers": (column("feature", vectors(1, 2, 3, 4, kind=pa.int32())), "has feature of type"),
    "features that are infinite": (
        column("feature", vectors(1, 2, 3, np.inf, kind=pa.float16())),
        "a vector holds values that are not finite",
    ),
    "features that are no numbers": (
        column("feature", vectors(1, 2, 3, np.nan, kind=pa.float16())),
        "a vector holds values that are not finite",
    ),
    "a feature that is null": (
        column("feature", [None] + [[np.float16(1)] * 4] * (ROWS - 1), pa.list_(pa.float16(), 4)),
        "train cannot be read",
    ),
    "a number that is null": (
        column("feature", [[None, *[np.float16(1)] * 3]] * ROWS, pa.list_(pa.float16(), 4)),
        "train cannot be read",
    ),
    "no features": (lambda table: table.drop_columns("feature"), "has no column feature"),
    "features twice": (lambda table: table.append_column("feature", table["feature"]), "has 2 columns feature"),
    "labels of numbers": (column("label", range(ROWS)), "has label of type int64, but it must be string"),
    "a label that is null": (column("label", [None, *"babab"], pa.string()), "has a row without label"),
    "ids of lists": (column("id", [["a"]] * ROWS), "has id of type list"),
    "no ids": (lambda table: table.drop_columns("id"), "has no column id"),
}
SPARSE: dict[str, tuple[Change, str]] = {
    "indices of text": (column("indices", [["a"]] * ROWS), "has indices of type list"),
    "indices of fractions": (column("indices", [[0.5]] * ROWS), "has indices of type list"),
    "indices out of range": (column("indices", [[0, 1, 2, 4]] * ROWS, pa.list_(pa.int32())), "train cannot be read"),
    "indices that are negative": (
        column("indices", [[0, 1, 2, -4]] * ROWS, pa.list_(pa.int32())),
        "train cannot be read",
    ),
    "fewer indices than values": (column("indices", [[0]] * ROWS, pa.list_(pa.int32())), "train cannot be read"),
    "values that are infinite": (
        column("values", [[1, 2, 3, -np.inf]] * ROWS, pa.list_(pa.float32())),
        "train cannot be read",
    ),
    "values that are null": (column("values", [None] * ROWS, pa.list_(pa.float32())), "train cannot be read"),
    "values of text": (column("values", [["a"]] * ROWS), "has values of type list"),
}
PREPARED: dict[str, tuple[Change, str]] = {
    "texts that are numbers": (column("text", range(ROWS)), "has text of type int64"),
    "texts that are bytes": (column("text", [b"a"] * ROWS), "has text of type binary"),
    "a text that is null": (column("text", [None, *"abcde"], pa.large_string()), "has a row without text"),
    "no texts": (lambda table: table.drop_columns("text"), "has no column text"),
    "slices that are numbers": (column("slice", range(ROWS)), "has slice of type int64"),
    "no slices": (lambda table: table.drop_columns("slice"), "has no column slice"),
}


@pytest.mark.parametrize(("is_sparse", "case"), [(False, case) for case in DENSE] + [(True, case) for case in SPARSE])
def test_a_wrong_feature_table_is_refused(tmp_path: Path, is_sparse: bool, case: str) -> None:
    how, words = (SPARSE if is_sparse else DENSE)[case]
    path = write_features(tmp_path, is_sparse=is_sparse)
    assert features.read(tmp_path, "train").X.shape == (ROWS, 4)
    change(path, how)
    with pytest.raises(HeadstartError, match=words):
        features.read(tmp_path, "train")


@pytest.mark.parametrize("case", PREPARED)
def test_a_wrong_prepared_table_is_refused(tmp_path: Path, case: str) -> None:
    how, words = PREPARED[case]
    path = write_prepared(tmp_path)
    assert len(prepared.read(tmp_path, "test")) == len(slices.names(tmp_path, np.array(["id 0"] * ROWS))) == ROWS
    change(path, how)
    with pytest.raises(HeadstartError, match=words):
        prepared.read(tmp_path, "test")
    with pytest.raises(HeadstartError, match=words):
        if "slices" in case:
            slices.names(tmp_path, np.array(["id 0"]))
        else:
            list(prepared.windows(tmp_path, "test", "text"))


@pytest.mark.parametrize("dim", [0, -1, 10**12])
def test_a_number_of_dimensions_that_the_vectors_do_not_have_is_refused(tmp_path: Path, dim: int) -> None:
    path = write_features(tmp_path, is_sparse=False)
    table = pq.read_table(path)
    note = table.schema.metadata[shards.METADATA_KEY].replace(b'"dim": 4', f'"dim": {dim}'.encode())
    pq.write_table(table.replace_schema_metadata({shards.METADATA_KEY: note}), path)
    with pytest.raises(HeadstartError, match=r"dim is|has feature of type|cannot be read"):
        features.read(tmp_path, "train")


def test_a_damaged_shard_is_named_where_rows_are_counted(tmp_path: Path) -> None:
    path = write_prepared(tmp_path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(HeadstartError, match=r"part-00000\.parquet cannot be read"):
        shards.count(tmp_path / "test")
