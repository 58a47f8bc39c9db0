"""prepare joins the labels that people gave row by row."""

import json
from collections import Counter
from pathlib import Path

import pytest

from stages.common.errors import HeadstartError
from stages.prepare import prepare
from stages.sources.given_labels import GivenLabels
from stages.tables import prepared
from stages.tables.labels_file import NewLabel, append
from stages.tables.splitting import Shares
from tests.pictures import png
from tests.projects import contents
from tests.tables_of_text import ROWS, csv_of, rejected, settings, split_ids

BARE = [{"text": row["text"], "label": ""} for row in ROWS]
IDS = [prepared.content_id(row["text"]) for row in ROWS]
NATURAL = Shares(validation=0.15, test=0.2, seed=0).natural


def label(tmp_path: Path, rows: dict[int, str], split: str = "") -> str:
    """Append labels of rows, by their numbers; gives the file's name."""
    path = tmp_path / "labels.csv"
    append(path, [NewLabel(IDS[n], ROWS[n]["text"], name, split) for n, name in rows.items()])
    return str(path)


def empty(tmp_path: Path) -> str:
    (tmp_path / "labels.csv").write_text("id,name,label,split,time\n", "utf-8")
    return str(tmp_path / "labels.csv")


def labels_by_id(folder: Path, split: str) -> dict[str, str]:
    table = prepared.read(folder, split)
    return dict(zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True))


def split_of(folder: Path, number: int) -> str:
    (split,) = (split for split in prepared.TABLES if IDS[number] in labels_by_id(folder, split))
    return split


def test_labels_of_the_file_make_the_tables_that_those_of_the_table_make(tmp_path: Path) -> None:
    prepare(tmp_path / "table", settings(csv_of(ROWS, tmp_path / "rows.csv")))
    name = label(tmp_path, {n: row["label"] for n, row in enumerate(ROWS)})
    prepare(tmp_path / "joined", settings(csv_of(BARE, tmp_path / "rows.csv"), labels=name))
    assert contents(tmp_path / "table") == contents(tmp_path / "joined")


def test_a_file_without_labels_changes_no_byte(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = csv_of([*ROWS, {"text": "none", "label": ""}], tmp_path / "rows.csv")
    prepare(tmp_path / "without", settings(data))
    prepare(tmp_path / "with", settings(data, labels=empty(tmp_path)))
    assert contents(tmp_path / "without") == contents(tmp_path / "with")
    assert "labels.csv" not in capsys.readouterr().out


def test_a_label_of_the_file_counts_before_that_of_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = label(tmp_path, {0: "b", 1: "b", 2: "b"})  # rows 0 and 2 are a
    prepare(tmp_path / "out", settings(csv_of(ROWS, tmp_path / "rows.csv"), labels=name))
    by_id = {
        row_id: name for split in prepared.SPLITS for row_id, name in labels_by_id(tmp_path / "out", split).items()
    }
    assert [by_id[IDS[n]] for n in range(5)] == ["b", "b", "b", "b", "a"]
    printed = capsys.readouterr().out
    assert (
        f"2 rows have another label in {name} than in {tmp_path / 'rows.csv'}, such as 'b' in line 2; {name} counts"
        in printed
    )


def test_a_label_that_was_taken_back_leaves_the_row_as_the_table_has_it(tmp_path: Path) -> None:
    label(tmp_path, {0: "b", 199: "a"})
    name = label(tmp_path, {0: "", 199: ""})
    prepare(tmp_path / "out", settings(csv_of([*ROWS[:199], BARE[199]], tmp_path / "rows.csv"), labels=name))
    assert split_of(tmp_path / "out", 199) == "unlabelled"
    assert labels_by_id(tmp_path / "out", split_of(tmp_path / "out", 0))[IDS[0]] == "a"


def test_a_split_of_the_file_is_binding_and_moves_no_other_row(tmp_path: Path) -> None:
    data = csv_of([*ROWS[:100], *BARE[100:]], tmp_path / "rows.csv")
    prepare(tmp_path / "before", settings(data))
    given = {"train": range(100, 110), "validation": range(110, 120), "test": range(120, 130)}
    for split, numbers in given.items():
        name = label(tmp_path, {n: "ab"[n % 2] for n in numbers}, split)
    prepare(tmp_path / "out", settings(data, labels=name))
    for split, numbers in given.items():
        assert {split_of(tmp_path / "out", n) for n in numbers} == {split}
    before, after = (split_ids(tmp_path / folder) for folder in ("before", "out"))
    assert {split: [row for row in after[split] if row in before[split]] for split in before} == before
    prepare(tmp_path / "seed", settings(data, labels=name, seed=7, test=0.4))
    assert {split_of(tmp_path / "seed", n) for n in range(120, 130)} == {"test"}


def test_without_a_split_a_hash_decides(tmp_path: Path) -> None:
    name = label(tmp_path, {n: "ab"[n % 2] for n in range(100, 150)})
    prepare(tmp_path / "out", settings(csv_of([*ROWS[:100], *BARE[100:]], tmp_path / "rows.csv"), labels=name))
    assert [split_of(tmp_path / "out", n) for n in range(100, 150)] == [NATURAL(IDS[n]) for n in range(100, 150)]


def test_suggested_rows_train_whatever_their_class_lacks(tmp_path: Path) -> None:
    numbers = [n for n in range(200) if NATURAL(IDS[n]) == "train"][:20]
    name = label(tmp_path, {n: "ab"[n % 2] for n in numbers}, "train")
    prepare(tmp_path / "out", settings(csv_of(BARE, tmp_path / "rows.csv"), labels=name))
    assert {split_of(tmp_path / "out", n) for n in numbers} == {"train"}


def test_a_class_whose_training_rows_are_given_keeps_its_natural_test_row(tmp_path: Path) -> None:
    test = next(n for n in range(200) if NATURAL(IDS[n]) == "test")
    others = [n for n in range(200) if n != test]
    label(tmp_path, dict.fromkeys(others[:3], "rare"), "train")
    name = label(tmp_path, dict.fromkeys(others[3:60], "common"))
    rows = [dict(BARE[n], label="rare" if n == test else "") for n in range(200)]
    prepare(tmp_path / "out", settings(csv_of(rows, tmp_path / "rows.csv"), labels=name))
    assert split_of(tmp_path / "out", test) == "test"


def test_a_given_split_counts_before_that_of_the_table(tmp_path: Path) -> None:
    rows = [{**row, "part": ["train", "test"][n % 5 == 0]} for n, row in enumerate(ROWS)]
    label(tmp_path, {0: "a"}, "train")
    label(tmp_path, {1: "b"}, "test")
    name = label(tmp_path, {5: "a", 6: "b"})
    prepare(tmp_path / "out", settings(csv_of(rows, tmp_path / "rows.csv"), labels=name, split="part"))
    assert [split_of(tmp_path / "out", n) for n in (0, 1, 5)] == ["train", "test", "test"]
    assert split_of(tmp_path / "out", 6) != "test"


def test_groups_stay_in_the_split_that_the_file_gives_one_of_their_rows(tmp_path: Path) -> None:
    rows = [{**row, "who": f"person {n // 4}"} for n, row in enumerate(ROWS)]
    rows[4]["label"] = rows[8]["label"] = ""
    data = csv_of(rows, tmp_path / "rows.csv")
    label(tmp_path, {4: "a"}, "test")
    name = label(tmp_path, {8: "a"}, "train")
    prepare(tmp_path / "out", settings(data, labels=name, group="who"))
    assert {split_of(tmp_path / "out", n) for n in range(4, 8)} == {"test"}
    assert {split_of(tmp_path / "out", n) for n in range(8, 12)} == {"train"}
    label(tmp_path, {6: "a"}, "train")
    with pytest.raises(HeadstartError, match=r"gives rows of the group 'person 1' to test and to train, but a group"):
        prepare(tmp_path / "out", settings(data, labels=name, group="who"))


def test_ids_that_the_table_lacks_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = label(tmp_path, dict.fromkeys((0, 150, 151), "a"))
    data = csv_of(ROWS[:100], tmp_path / "rows.csv")
    prepare(tmp_path / "out", settings(data, labels=name))
    printed = capsys.readouterr().out
    assert (
        f"2 labels of {name} are of no usable row of {data}, and count for nothing: {IDS[150]} in line 3,"
        f" {IDS[151]} in line 4"
    ) in printed
    with pytest.raises(
        HeadstartError, match=r"labels.csv has labels of 3 rows, but none of them is in .*rows.csv; set prepare.labels"
    ):
        prepare(tmp_path / "out", settings(csv_of(ROWS[100:140], tmp_path / "rows.csv"), labels=name))


def test_a_label_that_is_given_while_prepare_runs_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = label(tmp_path, {0: "a"})
    data = csv_of(BARE, tmp_path / "rows.csv")
    prepare(tmp_path / "out", settings(data, labels=name))
    assert "changed while" not in capsys.readouterr().out
    monkeypatch.setattr(GivenLabels, "check", lambda *_: label(tmp_path, {1: "b"}))
    prepare(tmp_path / "out", settings(data, labels=name))
    assert f"{name} changed while this ran, and DVC takes its new labels for read" in capsys.readouterr().out


def test_an_id_cannot_talk_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = label(tmp_path, {0: "a"})
    with (tmp_path / "labels.csv").open("a", encoding="utf-8") as file:
        file.write("\x1b[31mred,,\x1b]0;title\x07,,\n")
    prepare(tmp_path / "out", settings(csv_of(ROWS, tmp_path / "rows.csv"), labels=name))
    printed = capsys.readouterr().out
    assert "\\x1b[31mred in line 3" in printed and "\x1b" not in printed


def test_a_row_that_cannot_be_used_stays_left_out(tmp_path: Path) -> None:
    rows = [{**row, "part": "train" if n else "trian"} for n, row in enumerate(ROWS)]
    name = label(tmp_path, {0: "a", 1: "b"})
    data = csv_of(rows, tmp_path / "rows.csv")
    prepare(tmp_path / "out", settings(data, labels=name, split="part"))
    assert rejected(tmp_path / "out") == [("rows.csv:2", "part is 'trian', not train, validation or test")]


def test_copies_of_a_row_and_labels_that_contradict_each_other(tmp_path: Path) -> None:
    rows = [{**ROWS[0], "label": "b"}, *ROWS, BARE[199], BARE[199]]  # row 0 is a as well
    rows[200] = BARE[199]
    name = label(tmp_path, {0: "a", 199: "b"})
    prepare(tmp_path / "out", settings(csv_of(rows, tmp_path / "rows.csv"), labels=name))
    assert labels_by_id(tmp_path / "out", split_of(tmp_path / "out", 0))[IDS[0]] == "a"
    assert labels_by_id(tmp_path / "out", split_of(tmp_path / "out", 199))[IDS[199]] == "b"
    assert Counter(reason.split(" of ")[0] for _, reason in rejected(tmp_path / "out")) == {"duplicate": 3}


def test_a_class_that_was_renamed_in_the_table_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = label(tmp_path, {0: "a", 1: "b", 3: "old b"})
    renamed = [{**row, "label": row["label"].replace("b", "new b")} for row in ROWS]
    data = csv_of(renamed, tmp_path / "rows.csv")
    prepare(tmp_path / "out", settings(data, labels=name))
    assert (
        f"{name} has classes that {data} lacks: 'b', 'old b'; if one was renamed there, rename it in {name} too"
        in capsys.readouterr().out
    )
    prepare(tmp_path / "out", settings(csv_of(BARE, data), labels=name))
    assert "lacks" not in capsys.readouterr().out


def test_rare_classes_of_the_file_are_left_out(tmp_path: Path) -> None:
    name = label(tmp_path, {0: "rare", 1: "rare"})
    prepare(tmp_path / "out", settings(csv_of(ROWS, tmp_path / "rows.csv"), labels=name, min_rows=3))
    assert [reason for _, reason in rejected(tmp_path / "out")] == ["class rare has 2 rows, prepare.min_rows is 3"] * 2


def test_rows_of_a_class_without_a_training_row_wait_for_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label(tmp_path, {n: "ab"[n % 2] for n in range(20)}, "train")
    label(tmp_path, {n: "ab"[n % 2] for n in range(20, 30)}, "test")
    name = label(tmp_path, {30: "A", 31: "new"}, "test")
    data = csv_of(BARE, tmp_path / "rows.csv")
    prepare(tmp_path / "out", settings(data, labels=name))
    assert Counter(labels_by_id(tmp_path / "out", "test").values()) == {"a": 5, "b": 5}
    reasons = [f"class {name} has no training row yet" for name in ("A", "new")]
    assert sorted(reason for _, reason in rejected(tmp_path / "out")) == reasons
    assert (
        "prepare: no training row yet for A, new: 2 rows of these classes are left out until there is one; A and a look"
        " like one class; `python -m stages.label` suggests rows for training\n"
    ) in capsys.readouterr().out
    label(tmp_path, {32: "new"}, "train")
    prepare(tmp_path / "out", settings(data, labels=name))
    assert Counter(labels_by_id(tmp_path / "out", "test").values()) == {"a": 5, "b": 5, "new": 1}


def test_damaged_lines_and_several_labels_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    label(tmp_path, {0: "b"})
    with (tmp_path / "labels.csv").open("a", encoding="utf-8") as file:
        file.write(f"{IDS[1]},na\n")
    name = label(tmp_path, {0: "a"})
    prepare(tmp_path / "out", settings(csv_of(ROWS, tmp_path / "rows.csv"), labels=name))
    printed = capsys.readouterr().out
    assert "line 3 is damaged and left out" in printed and "1 row has several labels" in printed


def test_an_unlabelled_copy_of_a_row_that_the_file_labels_is_labelled(tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    csv_of(ROWS[:100], folder / "train.csv")
    csv_of([{"text": row["text"]} for row in BARE[100:]], folder / "unlabelled.csv")
    label(tmp_path, {100: "a", 101: "b"}, "test")
    name = label(tmp_path, {102: "a"})
    prepare(tmp_path / "out", settings(folder, labels=name))
    assert [split_of(tmp_path / "out", n) for n in (100, 101, 103)] == ["test", "test", "unlabelled"]
    assert split_of(tmp_path / "out", 102) == NATURAL(IDS[102])


def test_pairs_of_texts(tmp_path: Path) -> None:
    rows = [{"q": f"q {n}", "a": f"a {n}", "label": ""} for n in range(40)]
    data = csv_of(rows, tmp_path / "rows.csv")
    prepare(tmp_path / "out", settings(data, input=("q", "a")))
    ids = prepared.read(tmp_path / "out", "unlabelled")["id"].to_pylist()
    append(tmp_path / "labels.csv", [NewLabel(row_id, "", "xy"[n % 2]) for n, row_id in enumerate(ids[:30])])
    prepare(tmp_path / "out", settings(data, input=("q", "a"), labels=str(tmp_path / "labels.csv")))
    assert sum(map(len, split_ids(tmp_path / "out").values())) == 30
    assert len(prepared.read(tmp_path / "out", "unlabelled")) == 10


def test_a_folder_of_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "photos/unlabelled"
    folder.mkdir(parents=True)
    for n in range(20):
        (folder / f"{n:02}.png").write_bytes(png(n))
    (folder / "20.png").write_bytes(b"no picture")
    loose = settings(tmp_path / "photos", max_rejected=0.1)
    prepare(tmp_path / "out", loose)
    rows = prepared.read(tmp_path / "out", "unlabelled").select(["id", "source"]).to_pylist()
    damaged = prepared.content_id(b"no picture")
    new = [NewLabel(row["id"], row["source"], "ab"[n % 2], ["train", "test"][n > 8]) for n, row in enumerate(rows[:12])]
    append(tmp_path / "labels.csv", [*new, NewLabel(damaged, "20.png", "a")])
    prepare(tmp_path / "out", loose.model_copy(update={"labels": str(tmp_path / "labels.csv")}))
    assert split_ids(tmp_path / "out") == {
        "train": [row.id for row in new[:9]],
        "validation": [],
        "test": [row.id for row in new[9:]],
    }
    assert len(prepared.read(tmp_path / "out", "unlabelled")) == 8 and len(rejected(tmp_path / "out")) == 1
    (tmp_path / "photos/a").mkdir()
    (folder / "15.png").rename(tmp_path / "photos/a/15.png")
    prepare(tmp_path / "out", loose.model_copy(update={"labels": str(tmp_path / "labels.csv")}))
    assert "has a class that" in capsys.readouterr().out
    summary = json.loads((tmp_path / "out/summary.json").read_text("utf-8"))
    assert sum(summary["classes"]["a"].values()) == 7


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({}, "has no labelled rows"),
        ({0: "a"}, "has only one class, a"),
        ({0: "a", 1: "b"}, "leaves no test rows"),
    ],
)
def test_labelling_may_begin_with_no_label(
    tmp_path: Path, labels: dict[int, str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    empty(tmp_path)
    name = label(tmp_path, labels, "train")
    prepare(tmp_path / "out", settings(csv_of(BARE, tmp_path / "rows.csv"), labels=name))
    printed = capsys.readouterr().out
    (sentence,) = (line for line in printed.splitlines() if words in line)
    assert "`python -m stages.label` asks you for labels" in sentence
    assert len(prepared.read(tmp_path / "out", "unlabelled")) == 200 - len(labels)


def test_few_test_rows_are_to_be_more_and_not_folds_of_suggested_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = csv_of([*ROWS[:100], *BARE[100:]], tmp_path / "rows.csv")
    prepare(tmp_path / "out", settings(data))
    assert "; with prepare.test: 0, evaluate judges all 100 rows" in capsys.readouterr().out
    name = label(tmp_path, {100: "a", 101: "b"}, "train")
    prepare(tmp_path / "out", settings(data, labels=name))
    assert "; `python -m stages.label` asks you for labels of random ones" in capsys.readouterr().out


def test_test_rows_of_the_file_are_tested_on_where_none_are_cut(tmp_path: Path) -> None:
    label(tmp_path, {n: "ab"[n % 2] for n in range(100)}, "train")
    name = label(tmp_path, {n: "ab"[n % 2] for n in range(100, 120)}, "test")
    prepare(tmp_path / "out", settings(csv_of(BARE[:120], tmp_path / "rows.csv"), labels=name, test=0))
    assert {split: len(ids) for split, ids in split_ids(tmp_path / "out").items()} == {
        "train": 100,
        "validation": 0,
        "test": 20,
    }


def test_the_file_is_no_output(tmp_path: Path) -> None:
    name = label(tmp_path, {0: "a"})
    inside = tmp_path / "out/labels.csv"
    inside.parent.mkdir()
    Path(name).rename(inside)
    with pytest.raises(HeadstartError):
        prepare(tmp_path / "out", settings(csv_of(ROWS, tmp_path / "rows.csv"), labels=str(inside)))
    assert list((tmp_path / "out").iterdir()) == [inside]
