"""prepare on tables of texts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.common.errors import HeadstartError
from stages.prepare import prepare
from stages.tables import prepared
from tests.tables_of_text import ROWS, csv_of, rejected, settings, split_ids


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
        sliced, plain = (prepared.read(tmp_path / name, split) for name in ("with", "without"))
        assert sliced["id"].to_pylist() == plain["id"].to_pylist()
        assert plain["slice"].null_count == len(plain) and 0 < sliced["slice"].null_count < len(sliced)
        assert set(sliced["slice"].to_pylist()) == {"shop", "web", None}


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
    summary = json.loads((tmp_path / "out/summary.json").read_text("utf-8"))
    assert summary["left_out"] == {"unreadable": 0, "duplicate": 1, "conflict": 2, "rare_class": 0}
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
    rows = [*ROWS, {"text": "  ", "label": "a"}, {"text": "", "label": ""}]
    path = csv_of(rows, tmp_path / "rows.csv")
    prepare(tmp_path / "out", settings(path))
    assert rejected(tmp_path / "out") == [("rows.csv:202", "text is empty"), ("rows.csv:203", "text is empty")]
    with pytest.raises(HeadstartError, match=r"2 of 202 rows .*rows\.csv:202: text is empty.*max_rejected = 0\.001"):
        prepare(tmp_path / "out", settings(path, max_rejected=0.001))
    assert len(rejected(tmp_path / "out")) == 2, "the earlier output stays"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_class_without_a_training_row_is_named(tmp_path: Path) -> None:
    rows = [{**row, "part": "train"} for row in ROWS] + [{"text": "rare", "label": "rare", "part": "test"}]
    with pytest.raises(HeadstartError, match="no training row for rare"):
        prepare(tmp_path / "out", settings(csv_of(rows, tmp_path / "rows.csv"), split="part"))


def test_a_class_without_a_training_row_may_be_spelled_in_another_way_there(tmp_path: Path) -> None:
    rows = [{**row, "part": "train"} for row in ROWS] + [{"text": "A", "label": "A", "part": "test"}]
    with pytest.raises(HeadstartError, match=r"no training row for A, .*; A and a look like one class"):
        prepare(tmp_path / "out", settings(csv_of(rows, tmp_path / "rows.csv"), split="part"))


def test_the_verb_tells_a_mistake_in_one_line(project: Path, verb: Callable[..., Any]) -> None:
    verb("prepare")
    before = (project / "data/prepared/summary.json").read_bytes()
    (project / "data/reviews.csv").write_text("text,kind\nx,y\n", "utf-8")
    done = verb("prepare", check=False)
    assert done.returncode == 1
    assert done.stderr == "error: data/reviews.csv has no column category; it has text, kind\n"
    assert (project / "data/prepared/summary.json").read_bytes() == before


def rare(sizes: dict[str, int]) -> list[dict[str, str]]:
    return [{"text": f"{label} {n}", "label": label} for label, size in sizes.items() for n in range(size)]


def labels(folder: Path, split: str) -> set[str]:
    return set(prepared.read(folder, split)["label"].to_pylist())


def test_every_class_of_few_rows_trains_and_tests(tmp_path: Path) -> None:
    table = csv_of(rare({chr(97 + n): 2 for n in range(26)} | {"single": 1}), tmp_path / "rows.csv")
    for seed in range(3):
        prepare(tmp_path / "out", settings(table, seed=seed))
        assert labels(tmp_path / "out", "test") == labels(tmp_path / "out", "train") - {"single"}
        assert len(labels(tmp_path / "out", "train")) == 27


def test_the_only_training_row_that_was_given_is_not_carved_off(tmp_path: Path) -> None:
    for number in range(12):
        rows = [{**row, "part": "test" if n % 5 == 0 else "train"} for n, row in enumerate(ROWS)]
        rows += [{"text": f"rare {number}", "label": "rare", "part": "train"}]
        rows += [{"text": f"rare {number} too", "label": "rare", "part": "test"}]
        prepare(tmp_path / "out", settings(csv_of(rows, tmp_path / "rows.csv"), split="part"))
        train, test = (prepared.read(tmp_path / "out", split)["text"].to_pylist() for split in ("train", "test"))
        assert f"rare {number}" in train and f"rare {number} too" in test
        assert len(test) == 41, "a given split keeps its rows"


def test_groups_of_rare_classes_stay_whole(tmp_path: Path) -> None:
    rows = [{**row, "who": f"w{n // 3}"} for n, row in enumerate(rare({"a": 60, "b": 6, "c": 3}))]
    for seed in range(6):
        prepare(tmp_path / "out", settings(csv_of(rows, tmp_path / "rows.csv"), group="who", seed=seed))
        assert labels(tmp_path / "out", "train") == {"a", "b", "c"} and {"a", "b"} <= labels(tmp_path / "out", "test")
        groups = [set(prepared.read(tmp_path / "out", split)["group"].to_pylist()) for split in prepared.SPLITS]
        assert sum(map(len, groups)) == 23, "in one split each"


def test_classes_with_too_few_rows_are_left_out_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [*rare({"a": 30, "b": 30, "c": 3, "d": 2}), {"text": "d 0", "label": "d"}]
    prepare(tmp_path / "out", settings(csv_of(rows, tmp_path / "rows.csv"), min_rows=3))
    assert set().union(*(labels(tmp_path / "out", split) for split in prepared.SPLITS)) == {"a", "b", "c"}
    assert rejected(tmp_path / "out") == [
        ("rows.csv:65", "class d has 2 rows, prepare.min_rows is 3"),
        ("rows.csv:66", "class d has 2 rows, prepare.min_rows is 3"),
        ("rows.csv:67", "duplicate of rows.csv:65"),
    ]
    assert json.loads((tmp_path / "out/summary.json").read_text("utf-8"))["left_out"]["rare_class"] == 2
    assert "classes with fewer than prepare.min_rows = 3 rows are left out: d\n" in capsys.readouterr().out


def test_classes_of_one_row_each_leave_nothing_to_test(tmp_path: Path) -> None:
    with pytest.raises(HeadstartError, match=r"leaves no test rows; .* a class needs two"):
        prepare(tmp_path / "out", settings(csv_of(rare({"a": 1, "b": 1}), tmp_path / "rows.csv")))


@pytest.mark.parametrize(
    "label", ["NA", "N/A", "n/a", "null", "NULL", "None", "nan", "NaN", "-", "?", "<NA>", "\\N", "nil", "Unlabeled"]
)
def test_a_label_that_may_be_none_stays_a_class_and_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], label: str
) -> None:
    rows = [{"text": f"text {n}", "label": label if n % 3 == 0 else "yes"} for n in range(60)]
    prepare(tmp_path / "out", settings(csv_of(rows, tmp_path / "rows.csv")))
    printed = capsys.readouterr().out
    assert f"prepare: 20 rows of class {label!r} are kept; if that stands for no label, leave it empty\n" in printed
    assert label in prepared.read(tmp_path / "out", "train")["label"].to_pylist()


@pytest.mark.parametrize("label", ["nano", "nonesuch", "unknown", "other", "0", "n", "no", "+"])
def test_other_labels_are_no_matter(tmp_path: Path, capsys: pytest.CaptureFixture[str], label: str) -> None:
    rows = [{"text": f"text {n}", "label": label if n % 3 == 0 else "yes"} for n in range(60)]
    prepare(tmp_path / "out", settings(csv_of(rows, tmp_path / "rows.csv")))
    assert "stands for no label" not in capsys.readouterr().out


def test_prepare_test_0_keeps_every_row_for_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = csv_of(ROWS, tmp_path / "rows.csv")
    prepare(tmp_path / "out", settings(table, test=0))
    counts = {split: len(ids) for split, ids in split_ids(tmp_path / "out").items()}
    assert counts["test"] == 0 and counts["train"] + counts["validation"] == 200 and counts["validation"] > 0
    assert "cross-validation" not in capsys.readouterr().out
    folder = tmp_path / "tables"
    folder.mkdir()
    csv_of(ROWS[:150], folder / "train.csv")
    prepare(tmp_path / "only-train", settings(folder, test=0))
    assert split_ids(tmp_path / "only-train")["test"] == []
    csv_of(ROWS[150:], folder / "test.csv")
    prepare(tmp_path / "given", settings(folder, test=0))
    assert len(split_ids(tmp_path / "given")["test"]) == 50, "test rows that the data gives stay"


def test_without_test_rows_two_classes_need_two_rows(tmp_path: Path) -> None:
    table = csv_of(rare({"a": 5, "b": 1}), tmp_path / "rows.csv")
    with pytest.raises(HeadstartError, match=r"prepare.test is 0, and a cross-validation needs two"):
        prepare(tmp_path / "out", settings(table, test=0, validation=0))
    table = csv_of(rare({"a": 2, "b": 2, "c": 1}), tmp_path / "enough.csv")
    prepare(tmp_path / "enough", settings(table, test=0))


def test_few_test_rows_are_said_unless_the_data_gives_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(tmp_path / "out", settings(csv_of(ROWS, tmp_path / "rows.csv")))
    rows = len(split_ids(tmp_path / "out")["test"])
    assert f"{rows} test rows will tell the accuracy to about ±0.1" in (out := capsys.readouterr().out)
    assert "with prepare.test: 0, evaluate judges all 200 rows by cross-validation instead" in out
    many = [{"text": f"text {n}", "label": "ab"[n % 2], "part": ""} for n in range(700)]
    prepare(tmp_path / "many", settings(csv_of(many, tmp_path / "many.csv")))
    given = [{**row, "part": "test" if n < 20 else "train"} for n, row in enumerate(many[:100])]
    prepare(tmp_path / "given", settings(csv_of(given, tmp_path / "given.csv"), split="part"))
    assert "cross-validation" not in capsys.readouterr().out
