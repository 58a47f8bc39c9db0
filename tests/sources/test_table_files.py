"""Table files: formats, and what is refused in one sentence."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.common.errors import HeadstartError
from stages.prepare import prepare
from stages.tables import prepared
from tests.tables_of_text import ROWS, csv_of, rejected, settings


def test_every_format_gives_the_same_rows(tmp_path: Path) -> None:
    csv_of(ROWS, tmp_path / "rows.csv")
    (tmp_path / "rows.tsv").write_text((tmp_path / "rows.csv").read_text("utf-8").replace(",", "\t"), "utf-8")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), "utf-8")
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    tables = []
    for suffix in ("csv", "tsv", "jsonl", "parquet"):
        prepare(tmp_path / suffix, settings(tmp_path / f"rows.{suffix}"))
        tables.append(
            {split: prepared.read(tmp_path / suffix, split).drop_columns("source") for split in prepared.SPLITS}
        )
    assert all(table == tables[0] for table in tables)
    assert tables[0]["train"].schema.field("text").type == pa.large_string()
    row = tables[0]["train"].to_pylist()[0]
    assert row["id"] == hashlib.sha256(row["text"].encode()).digest()[:16].hex()


def test_words_that_look_like_missing_values_are_text(tmp_path: Path) -> None:
    rows = [*ROWS, {"text": "NA", "label": "a"}, {"text": "null", "label": "b"}, {"text": "zeile", "label": "None"}]
    rows += [{"text": f"none {n}", "label": "None"} for n in range(20)]
    prepare(tmp_path / "out", settings(csv_of(rows, tmp_path / "rows.csv")))
    assert rejected(tmp_path / "out") == []


def test_lines_are_counted_over_quoted_line_breaks(tmp_path: Path) -> None:
    path = csv_of([{"text": "two\nlines", "label": "a"}, *ROWS, {"text": "", "label": "a"}], tmp_path / "rows.csv")
    prepare(tmp_path / "out", settings(path))
    assert rejected(tmp_path / "out") == [("rows.csv:204", "text is empty")]


BAD: list[tuple[str, bytes, dict[str, Any], str]] = [
    ("rows.csv", b"", {}, r"rows\.csv is empty"),
    ("rows.csv", b"text,label\n", {}, "has no rows"),
    ("rows.csv", b"txet,label\nx,a\n", {}, "has no column text; it has txet, label; did you mean txet"),
    ("rows.csv", b"text,text,label\nx,y,a\n", {}, "two columns named text"),
    ("rows.csv", b"text,label\nx,a\ny\n", {}, "has 1 field in line 3, but its header has 2"),
    ("rows.csv", b"text,label\nx,a\ny,b,c\n", {}, "has 3 fields in line 3"),
    ("rows.csv", b'text,label\n"x"y,a\n', {}, "not valid CSV in line 2"),
    ("rows.csv", b"text,label\nx,a\n\xff,b\n", {}, "not UTF-8 in line 3"),
    ("rows.jsonl", b'{"text": "x", "label": "a"}\n{', {}, "not valid JSON in line 2"),
    ("rows.jsonl", b"[1]\n", {}, "no JSON object in line 1"),
    ("rows.jsonl", b'{"text": "\\ud800", "label": "a"}\n', {}, "surrogate"),
    ("rows.parquet", b"PAR1", {}, "not readable Parquet"),
    ("rows.doc", b"", {}, r"ends in \.doc, but must end in \.csv"),
    ("rows.csv", b"text,label\nx,a\ny,a\n", {}, "only one class, a"),
    ("rows.csv", b"text,label\nx,a\ny,b\n", {"test": 0.0, "validation": 0.0}, "leaves no test rows"),
    ("rows.csv", b"text,label,part\nx,a,train\ny,b,exam\n", {"split": "part"}, "part is 'exam', not train"),
]


@pytest.mark.parametrize(("name", "content", "changes", "message"), BAD)
def test_bad_tables_are_refused(
    tmp_path: Path, name: str, content: bytes, changes: dict[str, Any], message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(HeadstartError, match=message) as error:
        prepare(tmp_path / "out", settings(tmp_path / name, **changes))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_missing_file_or_train_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HeadstartError, match="does not exist"):
        prepare(tmp_path / "out", settings(tmp_path / "absent.csv"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(HeadstartError, match="holds no train"):
        prepare(tmp_path / "out", settings(tmp_path / "empty"))
    csv_of(ROWS, tmp_path / "empty/other.csv")
    with pytest.raises(HeadstartError, match="is named other"):
        prepare(tmp_path / "out", settings(tmp_path / "empty"))
