"""The feature table."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from stages.common.errors import HeadstartError
from stages.tables import feature_writer, features


def test_the_feature_table_keeps_its_contract(trained: Path) -> None:
    table = pq.read_table(trained / "data/features/train/part-00000.parquet")
    assert table.column_names == ["id", "label", "feature", "tokens", "unclear"]
    assert str(table.schema.field("feature").type) == "fixed_size_list<element: halffloat>[32]"
    read = features.read(trained / "data/features", "train")
    assert read.X.shape == (len(read.ids), 32) and read.X.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(read.X, axis=1), 1, atol=1e-3)
    assert read.metadata.dim == 32 and read.metadata.input == "text" and len(read.metadata.fingerprint) == 64


def test_a_wrong_value_in_a_sparse_vector_names_its_row() -> None:
    X = sparse.csr_matrix(np.array([[0, 1, 0], [0, 0, 0], [2, 0, np.inf]], np.float32))
    feature_writer.check_finite(["a", "b"], X[:2], "both")
    with pytest.raises(HeadstartError, match="both produced non-finite values for row c; its weights are damaged"):
        feature_writer.check_finite(["a", "b", "c"], X, "both")


def test_vectors_can_stay_in_half_precision_and_are_given_in_single(trained: Path) -> None:
    read, halved = (features.read(trained / "data/features", "train", as_stored=kept) for kept in (False, True))
    assert halved.X.dtype == np.float16
    rows = np.array([3, 0])
    assert halved.single(rows).dtype == np.float32
    np.testing.assert_array_equal(halved.single(rows), read.X[rows])
    assert halved.without_vectors().X.shape == (len(read.ids), 0) and halved.without_vectors().ids is halved.ids


def test_rows_of_a_class_share_its_name_in_memory(trained: Path) -> None:
    labels = features.read(trained / "data/features", "train").labels
    assert len({id(label) for label in labels}) == len(set(labels))
