"""The feature table."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from stages.tables import features


def test_the_feature_table_keeps_its_contract(trained: Path) -> None:
    table = pq.read_table(trained / "data/features/train/part-00000.parquet")
    assert table.column_names == ["id", "label", "feature", "tokens", "unclear"]
    assert str(table.schema.field("feature").type) == "fixed_size_list<element: halffloat>[32]"
    read = features.read(trained / "data/features", "train")
    assert read.X.shape == (len(read.ids), 32) and read.X.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(read.X, axis=1), 1, atol=1e-3)
    assert read.metadata.dim == 32 and read.metadata.input == "text" and len(read.metadata.fingerprint) == 64
