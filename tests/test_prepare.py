import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.common.errors import HeadstartError
from stages.common.params import BudgetParams, PrepareParams
from stages.prepare import prepare
from stages.tables import prepared, shards

ROWS = [{"text": f"text number {n}", "label": "ab"[n % 2]} for n in range(200)]


def settings(data: Path, **changes: Any) -> PrepareParams:
    return PrepareParams(**{"data": str(data), "input": "text", "label": "label", **changes})


def csv_of(rows: list[dict[str, str]], path: Path) -> Path:
    header = list(rows[0])
    lines = [",".join(header), *(",".join(f'"{row[name]}"' for name in header) for row in rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def split_ids(folder: Path) -> dict[str, list[str]]:
    return {split: prepared.read(folder, split)["id"].to_pylist() for split in prepared.SPLITS}


def rejected(folder: Path) -> list[tuple[str, str]]:
    return [(row["source"], row["reason"]) for row in pq.read_table(folder / "rejected.parquet").to_pylist()]


def test_every_format_gives_the_same_rows(tmp_path: Path) -> None:
    csv_of(ROWS, tmp_path / "rows.csv")
    (tmp_path / "rows.tsv").write_text((tmp_path / "rows.csv").read_text().replace(",", "\t"))
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    found = []
    for suffix in ("csv", "tsv", "jsonl", "parquet"):
        prepare(tmp_path / suffix, settings(tmp_path / f"rows.{suffix}"))
        found.append(
            {split: prepared.read(tmp_path / suffix, split).drop_columns("source") for split in prepared.SPLITS}
        )
    assert all(each == found[0] for each in found)
    assert found[0]["train"].schema.field("text").type == pa.large_string()
    row = found[0]["train"].to_pylist()[0]
    assert row["id"] == hashlib.sha256(row["text"].encode()).digest()[:16].hex()


def test_rows_never_move_when_the_data_grows(tmp_path: Path) -> None:
    prepare(tmp_path / "small", settings(csv_of(ROWS[:100], tmp_path / "small.csv")))
    prepare(tmp_path / "large", settings(csv_of(ROWS[::-1], tmp_path / "large.csv")))
    small, large = split_ids(tmp_path / "small"), split_ids(tmp_path / "large")
    for split in prepared.SPLITS:
        assert small[split] and set(small[split]) <= set(large[split])
    share = len(large["test"]) / 200
    assert 0.1 < share < 0.3


def test_slices_are_kept_and_move_nothing(tmp_path: Path) -> None:
    rows = [{"text": f"t{n}", "label": "ab"[n % 2], "where": ["shop", "", "web"][n % 3]} for n in range(90)]
    table = csv_of(rows, tmp_path / "rows.csv")
    prepare(tmp_path / "with", settings(table, slice="where"))
    prepare(tmp_path / "without", settings(table))
    for split in prepared.SPLITS:
        found, plain = (prepared.read(tmp_path / each, split) for each in ("with", "without"))
        assert found["id"].to_pylist() == plain["id"].to_pylist()
        assert plain["slice"].null_count == len(plain) and 0 < found["slice"].null_count < len(found)
        assert set(found["slice"].to_pylist()) == {"shop", "web", None}


def test_groups_stay_together(tmp_path: Path) -> None:
    rows = [{**row, "who": f"w{n // 8}"} for n, row in enumerate(ROWS)]
    prepare(tmp_path / "out", settings(csv_of(rows, tmp_path / "rows.csv"), group="who"))
    groups = [set(prepared.read(tmp_path / "out", split)["group"].to_pylist()) for split in prepared.SPLITS]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]


def test_given_splits_are_kept_and_a_missing_one_is_cut_from_train(tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    csv_of(ROWS[:150], folder / "train.csv")
    csv_of(ROWS[150:], folder / "test.csv")
    prepare(tmp_path / "out", settings(folder))
    table = prepared.read(tmp_path / "out", "test")
    assert table["text"].to_pylist() == [row["text"] for row in ROWS[150:]]
    assert {s.split(":")[0] for s in table["source"].to_pylist()} == {"test.csv"}
    assert 5 < len(split_ids(tmp_path / "out")["validation"]) < 50
    column = [{**row, "part": ["train", "dev", "test"][n % 3]} for n, row in enumerate(ROWS)]
    prepare(tmp_path / "column", settings(csv_of(column, tmp_path / "column.csv"), split="part"))
    assert {split: len(ids) for split, ids in split_ids(tmp_path / "column").items()} == {
        "train": 67,
        "validation": 67,
        "test": 66,
    }


def test_duplicates_collapse_and_conflicts_are_listed(tmp_path: Path) -> None:
    rows = [*ROWS, ROWS[0], {"text": ROWS[1]["text"], "label": "a"}]
    prepare(tmp_path / "out", settings(csv_of(rows, tmp_path / "rows.csv")))
    reasons = dict(rejected(tmp_path / "out"))
    assert reasons["rows.csv:202"] == "duplicate of rows.csv:2"
    assert reasons["rows.csv:3"] == reasons["rows.csv:203"] == "the same content is labelled a and b"
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["left_out"] == {"unreadable": 0, "duplicate": 1, "conflict": 2}
    assert sum(summary["kept"].values()) == 199 == sum(map(len, split_ids(tmp_path / "out").values()))


def test_the_copy_in_a_given_test_split_is_the_one_that_stays(tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    csv_of(ROWS[:150], folder / "train.csv")
    csv_of(ROWS[140:], folder / "test.csv")
    prepare(tmp_path / "out", settings(folder))
    ids = split_ids(tmp_path / "out")
    assert len(ids["test"]) == 60
    assert not set(ids["test"]) & set(ids["train"] + ids["validation"])


def test_unusable_rows_are_listed_up_to_a_share(tmp_path: Path) -> None:
    rows = [*ROWS, {"text": "  ", "label": "a"}, {"text": "no label", "label": ""}]
    path = csv_of(rows, tmp_path / "rows.csv")
    prepare(tmp_path / "out", settings(path))
    assert rejected(tmp_path / "out") == [("rows.csv:202", "text is empty"), ("rows.csv:203", "label is empty")]
    with pytest.raises(HeadstartError, match=r"2 of 202 rows .*rows\.csv:202: text is empty.*max_rejected = 0\.001"):
        prepare(tmp_path / "out", settings(path, max_rejected=0.001))
    assert rejected(tmp_path / "out"), "the earlier output stays"
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


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
    ("rows.csv", b"text,label\nx,a\ny\n", {}, "has 1 fields in line 3, but its header has 2"),
    ("rows.csv", b"text,label\nx,a\ny,b,c\n", {}, "has 3 fields in line 3"),
    ("rows.csv", b'text,label\n"x"y,a\n', {}, "not valid CSV in line 2"),
    ("rows.csv", b"text,label\nx,a\n\xff,b\n", {}, "not UTF-8 in line 3"),
    ("rows.jsonl", b'{"text": "x", "label": "a"}\n{', {}, "not valid JSON in line 2"),
    ("rows.jsonl", b"[1]\n", {}, "no JSON object in line 1"),
    ("rows.jsonl", b'{"text": "\\ud800", "label": "a"}\n', {}, "surrogate"),
    ("rows.parquet", b"PAR1", {}, "not readable Parquet"),
    ("rows.xlsx", b"", {}, r"ends in \.xlsx, but must end in \.csv"),
    ("rows.csv", b"text,label\nx,a\ny,a\n", {}, "one class only, a"),
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


def test_a_class_without_a_training_row_is_named(tmp_path: Path) -> None:
    rows = [{**row, "part": "train"} for row in ROWS] + [{"text": "rare", "label": "rare", "part": "test"}]
    with pytest.raises(HeadstartError, match="no training row for rare"):
        prepare(tmp_path / "out", settings(csv_of(rows, tmp_path / "rows.csv"), split="part"))


def test_a_missing_file_or_train_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HeadstartError, match="does not exist"):
        prepare(tmp_path / "out", settings(tmp_path / "absent.csv"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(HeadstartError, match="holds no train"):
        prepare(tmp_path / "out", settings(tmp_path / "empty"))
    csv_of(ROWS, tmp_path / "empty/other.csv")
    with pytest.raises(HeadstartError, match="is named other"):
        prepare(tmp_path / "out", settings(tmp_path / "empty"))


def test_the_verb_tells_a_mistake_in_one_line(project: Path, verb: Callable[..., Any]) -> None:
    verb("prepare")
    before = (project / "data/prepared/summary.json").read_bytes()
    (project / "data/reviews.csv").write_text("text,kind\nx,y\n")
    done = verb("prepare", check=False)
    assert done.returncode == 1
    assert done.stderr == "error: data/reviews.csv has no column category; it has text, kind\n"
    assert (project / "data/prepared/summary.json").read_bytes() == before


def test_the_budget_draws_per_class_and_grows_by_adding() -> None:
    ids = [f"{n:032x}" for n in range(100)]
    labels = ["a"] * 70 + ["b"] * 30
    small, large = (prepared.within_budget(ids, labels, BudgetParams(per_class=n)) for n in (5, 40))
    assert small[:70].sum() == small[70:].sum() == 5 and large.sum() == 70
    assert (large | ~small).all()
    assert prepared.within_budget(ids, labels, BudgetParams()).all()
    assert not np.array_equal(small, prepared.within_budget(ids, labels, BudgetParams(per_class=5, seed=1)))


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
