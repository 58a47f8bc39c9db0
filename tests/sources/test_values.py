"""Labels, groups and texts of every type that a file can hold."""

import datetime
import decimal
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.prepare import prepare
from stages.sources import Columns, rows
from stages.tables import prepared
from tests.tables_of_text import ROWS, csv_of, rejected, settings

COLUMNS = Columns("text", "label", group="group")
MORNING = datetime.datetime(2024, 5, 1, 3)


def row_of(path: Path, label: Any, group: Any = "g", text: Any = "x") -> tuple[str | None, str | None, str | None]:
    """Label, group and problem of a row in JSON with these values."""
    path = path / "rows.jsonl"
    path.write_text(json.dumps({"text": text, "label": label, "group": group}), "utf-8")
    (row,) = rows(path, COLUMNS, "text")
    return row.label, row.group, row.problem


@pytest.mark.parametrize("value", [None, float("nan"), "", " \n"])
def test_empty_is_empty(tmp_path: Path, value: Any) -> None:
    assert row_of(tmp_path, value) == (None, "g", None)
    assert row_of(tmp_path, "a", value) == ("a", None, None)
    assert row_of(tmp_path, "a", text=value) == ("a", "g", "text is empty")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (1, "1"),
        (1.0, "1"),
        (-0.0, "0"),
        (4.5, "4.5"),
        (1e300, "1e+300"),
        (True, "True"),
        (" a ", "a"),
        ("nan", "nan"),
        ("1.0", "1.0"),
    ],
)
def test_one_value_is_a_name(tmp_path: Path, value: Any, name: str) -> None:
    assert row_of(tmp_path, value, value)[::2] == (name, None)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (["neg", "long"], "is a list, not one value"),
        ([], "is a list, not one value"),
        ({"a": 1}, "is a mapping, not one value"),
        (float("inf"), "is infinite"),
    ],
)
def test_what_is_no_single_value_is_refused_with_the_row(tmp_path: Path, value: Any, words: str) -> None:
    assert row_of(tmp_path, value) == (None, "g", f"label {words}")
    assert row_of(tmp_path, "a", value) == ("a", None, f"group {words}")
    assert row_of(tmp_path, "a", text=value) == ("a", "g", f"text {words}")


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (pa.array([1.0, float("nan"), None, 2.0]), ["1", None, None, "2"]),
        (pa.array([4.1, 0.5], pa.float32()), ["4.1", "0.5"]),
        (pa.array([1.5, 2.0], pa.float16()), ["1.5", "2"]),
        (pa.array(["a", None]).dictionary_encode(), ["a", None]),
        (pa.array([b"a", b"\xff", b"b\0"]), ["a", "label is bytes, not text", "label is bytes, not text"]),
        (pa.array([decimal.Decimal("1.00"), decimal.Decimal("2.50")]), ["1", "2.50"]),
        (pa.array([datetime.date(2024, 5, 1)]), ["2024-05-01"]),
        (pa.array([datetime.datetime(2024, 5, 1), MORNING]), ["2024-05-01", "2024-05-01 03:00:00"]),
        (pa.array([["a"], ["a", "b"]]), ["label is a list, not one value"] * 2),
        (pa.array([True, None]), ["True", None]),
        (pa.array([None, None], pa.null()), [None, None]),
    ],
)  # fmt: skip
def test_labels_in_parquet(tmp_path: Path, values: pa.Array, names: list[str | None]) -> None:
    pq.write_table(pa.table({"text": ["x"] * len(values), "label": values}), tmp_path / "rows.parquet")
    read = list(rows(tmp_path / "rows.parquet", Columns("text", "label"), "text"))
    expected = [(None, name) if not name or " is " in name else (name, None) for name in names]
    assert [(row.label, row.problem) for row in read] == expected


def test_numbers_in_texts_are_texts_whatever_the_format(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text('[{"text": 1917, "label": 1}, {"text": 0.5, "label": 2}]', "utf-8")
    assert [row.content for row in rows(tmp_path / "rows.json", Columns("text"), "text")] == ["1917", "0.5"]


def test_a_split_that_is_none_is_told_as_it_is(tmp_path: Path) -> None:
    content = [{"text": "x", "label": "a", "part": part} for part in ("train", ["test"], None)]
    (tmp_path / "rows.json").write_text(json.dumps(content), "utf-8")
    read = list(rows(tmp_path / "rows.json", Columns("text", "label", split="part"), "text"))
    assert [(row.split, row.problem) for row in read] == [
        ("train", None),
        (None, "part is a list, not one value"),
        (None, "part is None, not train, validation or test"),
    ]


def test_no_class_is_made_of_missing_and_several_labels(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    bad = [{"text": "x1", "label": float("nan")}, {"text": "x2", "label": ["neg", "long"]}]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*ROWS, *bad]), "utf-8")
    prepare(tmp_path / "out", settings(path))
    assert set(prepared.read(tmp_path / "out", "train")["label"].to_pylist()) == {"a", "b"}
    assert rejected(tmp_path / "out") == [("rows.jsonl:202", "label is a list, not one value")]


def test_numbers_that_are_written_in_two_ways_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = ["1", "1.0", "2"]
    table = csv_of([{"text": f"row {n}", "label": labels[n % 3]} for n in range(90)], tmp_path / "rows.csv")
    prepare(tmp_path / "out", settings(table))
    assert "'1' and '1.0' look like one class" in capsys.readouterr().out
