"""Parquet in shards."""

from pathlib import Path

import pyarrow as pa
import pytest

from stages.common.errors import HeadstartError
from stages.tables import shards


def test_shards_are_cut_by_rows_not_by_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "GROUP_ROWS", 10)
    monkeypatch.setattr(shards, "SHARD_ROWS", 40)
    schema = pa.schema([("n", pa.int64())])
    for name, step in (("ones", 1), ("sevens", 7), ("all", 95)):
        with shards.Writer(tmp_path / name, schema, {"k": 1}) as writer:
            for start in range(0, 95, step):
                writer.write(pa.table({"n": list(range(start, min(start + step, 95)))}, schema))
    files = [[path.read_bytes() for path in sorted((tmp_path / name).iterdir())] for name in ("ones", "sevens", "all")]
    assert len(files[0]) == 3 and files[0] == files[1] == files[2]
    assert shards.read_all(tmp_path / "all")["n"].to_pylist() == list(range(95))
    assert shards.metadata(tmp_path / "all") == {"k": 1} and shards.count(tmp_path / "all") == 95
    (tmp_path / "all/part-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(HeadstartError, match=r"part-00001\.parquet cannot be read"):
        shards.read_all(tmp_path / "all")
