"""Labels, groups, slices and file names that a table cannot hold."""

import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from stages.common.prepare_params import PrepareParams
from stages.prepare import prepare
from stages.sources import Columns, rows
from tests.projects import LINUX

UNWRITABLE = {"\ud800": "holds half a surrogate pair, which is not valid Unicode", "a\0": "holds a NUL character"}


@pytest.mark.parametrize("column", ["label", "group", "slice"])
@pytest.mark.parametrize("value", UNWRITABLE)
def test_a_row_whose_names_cannot_be_written_is_rejected(tmp_path: Path, column: str, value: str) -> None:
    records = [{"text": f"row {n}", "label": "ab"[n % 2], "group": f"g{n}", "slice": "s"} for n in range(60)]
    records.append({"text": "row 60", "label": "a", "group": "g", "slice": "s", column: value})
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    settings = {"data": str(path), "input": "text", "label": "label", "group": "group", "slice": "slice"}
    prepare(tmp_path / "out", PrepareParams(**settings, max_rejected=0.1))
    rejected = pq.read_table(tmp_path / "out/rejected.parquet").to_pylist()
    assert rejected == [{"source": "rows.jsonl:61", "reason": f"{column} {UNWRITABLE[value]}"}]


@LINUX
def test_a_table_whose_name_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"rows\xff.csv")
    path.write_text("text\nnew\n", "utf-8")
    assert [row.origin for row in rows(path, Columns("text"), "text")] == ["rows�.csv:2"]
