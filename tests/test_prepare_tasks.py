"""prepare on labels with an order, and on numbers; and what holds for every task."""

import json
from pathlib import Path
from typing import Any

import pytest

from stages.prepare import prepare
from stages.tables import prepared
from tests.labelled_tables import LISTS, MANY, Printed, by_text, csv, jsonl, names_of, refused
from tests.pictures import png
from tests.tables_of_text import rejected, settings


def test_ordinal_classes_in_a_given_order(tmp_path: Path, capsys: Printed) -> None:
    order = ("none", "small", "medium", "large")
    table = csv(tmp_path / "rows.csv", [*order[1:], *order[1:]] * 20 + ["huge"])
    prepare(tmp_path / "out", settings(table, order=order))
    info = prepared.read_info(tmp_path / "out")
    assert info.task == "ordinal" and info.order == order
    printed = capsys.readouterr().out
    assert "the task is ordinal, since prepare.order is set" in printed and "in 3 classes" in printed
    assert "prepare.order has classes without a row: none" in printed
    assert rejected(tmp_path / "out") == [
        ("rows.csv:122", "label is 'huge', which prepare.order lacks; it has none, small, medium, large")
    ]


def test_ordinal_numbers_give_the_order(tmp_path: Path) -> None:
    prepare(tmp_path / "out", settings(csv(tmp_path / "rows.csv", ["10", "9", "1.50", "10.0"] * 30), task="ordinal"))
    info = prepared.read_info(tmp_path / "out")
    assert info.order == ("1.5", "9", "10") and set(by_text(tmp_path / "out").values()) == {*info.order}
    words = refused(tmp_path, csv(tmp_path / "words.csv", ["good", "bad"] * 30), task="ordinal")
    assert "label is 'good', not a number; list the classes from low to high as prepare.order" in words


NUMBERS = [n / 7 - 3 for n in range(MANY)]


def test_numbers(tmp_path: Path, capsys: Printed) -> None:
    wanted = {f"text {n}": repr(value) for n, value in enumerate(NUMBERS)}
    for name, table in {
        "jsonl": jsonl(tmp_path / "rows.jsonl", [*NUMBERS, None]),
        "csv": csv(tmp_path / "rows.csv", [*map(str, NUMBERS), ""]),
    }.items():
        prepare(tmp_path / name, settings(table, task="regression"))
        assert by_text(tmp_path / name) == {**wanted, f"text {MANY}": None}
        assert prepared.read_info(tmp_path / name).task == "regression"
        summary = json.loads((tmp_path / name / "summary.json").read_text("utf-8"))
        assert summary["numbers"] == {"lowest": min(NUMBERS), "highest": max(NUMBERS)} and summary["classes"] == {}
        assert f"rows with numbers from -3.0 to {max(NUMBERS)}" in capsys.readouterr().out


def test_numbers_that_cannot_be_used_are_listed(tmp_path: Path) -> None:
    table = jsonl(tmp_path / "rows.jsonl", [*NUMBERS, "4.5", True, 1e400])
    prepare(tmp_path / "out", settings(table, task="regression", max_rejected=0.1))
    assert [reason for _, reason in rejected(tmp_path / "out")] == [
        "label is the text '4.5', not a number; store it as one",
        "label is True, not a number",
        "label is infinite, not a number that can be learned",
    ]
    comma = csv(tmp_path / "comma.csv", [str(value).replace(".", ",") for value in NUMBERS])
    words = refused(tmp_path, comma, task="regression")
    assert "comma.csv:2: label is '-3,0', not a number; write a decimal point" in words


def test_numbers_that_are_all_the_same(tmp_path: Path) -> None:
    table = csv(tmp_path / "rows.csv", ["3", "3.0"] * 60)
    assert "has only one number, 3.0; a regression needs numbers that differ in column label" in refused(
        tmp_path, table, task="regression"
    )


def test_numbers_need_training_rows_and_rows_to_judge(tmp_path: Path) -> None:
    rows = [{"text": f"text {n}", "label": n, "part": "test"} for n in range(20)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    words = refused(tmp_path, tmp_path / "rows.jsonl", task="regression", split="part")
    assert "has no labelled rows for training" in words
    few = jsonl(tmp_path / "few.jsonl", [1, 2, 3])
    assert "a cross-validation needs 4 rows" in refused(tmp_path, few, task="regression", test=0)
    prepare(tmp_path / "out", settings(jsonl(tmp_path / "enough.jsonl", [1, 2, 3, 4]), task="regression", test=0))


@pytest.mark.parametrize(
    ("values", "is_recommended"),
    [
        ([n * 3 for n in range(20)], True),
        ([n / 2 for n in range(20)], True),
        ([*range(18, 40)], True),
        ([0, 1], False),
        ([1, 2, 3, 4, 5], True),  # as stars are
        ([0, 1, 2], False),
        ([*range(20)], False),
        ([*range(1, 21)], False),
        ([-1.5, 0, 1.5], True),
    ],
)
def test_numbers_stay_classes_and_a_sentence_recommends(
    tmp_path: Path, capsys: Printed, values: list[float], is_recommended: bool
) -> None:
    table = csv(tmp_path / "rows.csv", [str(value) for value in values] * 30)
    prepare(tmp_path / "out", settings(table))
    printed = capsys.readouterr().out
    assert f"in {len(values)} classes" in printed
    assert ("prepare.task: regression learns them as numbers" in printed) == is_recommended
    prepare(tmp_path / "out", settings(table, task="single"))
    assert "regression" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("values", "is_told"),
    [
        (["bug; new", "bug; old", "billing; new", "billing; old"], True),
        (["bug,new", "bug,old", "billing,new", "old,billing", "bug"], True),
        (["bug|new", "bug", "billing", "praise", "bug|old"], False),  # few
        (["Springfield, IL", "Salem, OR", "Dover, DE"], False),  # no name in two labels
        (["R&B/soul", "rock/pop"], False),
    ],
)
def test_labels_that_look_joined_stay_classes_and_a_sentence_tells(
    tmp_path: Path, capsys: Printed, values: list[str], is_told: bool
) -> None:
    table = csv(tmp_path / "rows.csv", values * 20)
    prepare(tmp_path / "out", settings(table))
    printed = capsys.readouterr().out
    assert f"in {len(values)} classes" in printed
    assert ("set prepare.label_separator to" in printed) == is_told
    prepare(tmp_path / "out", settings(table, task="single"))
    assert "label_separator" not in capsys.readouterr().out


def test_numbers_of_one_row_each_are_no_classes(tmp_path: Path) -> None:
    words = refused(tmp_path, csv(tmp_path / "rows.csv", [str(value) for value in NUMBERS]))
    assert "leaves no test rows" in words and "prepare.task: regression learns them as numbers" in words


@pytest.mark.parametrize(
    "changes", [{"task": "ordinal"}, {"label": ("a", "b")}, {"order": ("a", "b")}, {"label_separator": ";"}]
)
def test_a_folder_of_images_has_one_class_per_image(tmp_path: Path, changes: dict[str, Any]) -> None:
    for name in ("cat", "crow"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "1.png").write_bytes(png(len(name)))
    words = refused(tmp_path, tmp_path / "photos", **changes)
    assert "photos is a folder of images, where each image is of the class of its folder; name a table" in words


def test_images_of_a_table_have_several_labels(tmp_path: Path) -> None:
    for n in range(20):
        (tmp_path / f"{n}.png").write_bytes(png(n))
    lines = [json.dumps({"text": f"{n}.png", "label": names_of(n)}) for n in range(20)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), "utf-8")
    prepare(tmp_path / "out", settings(tmp_path / "rows.jsonl"))
    info = prepared.read_info(tmp_path / "out")
    assert (info.modality, info.task) == ("image", "multilabel")


@pytest.mark.parametrize("task", ["multilabel", "ordinal", "regression"])
def test_the_same_rows_make_the_same_bytes_and_never_move(tmp_path: Path, task: str) -> None:
    values: list[Any] = {
        "multilabel": LISTS,
        "ordinal": [n % 5 for n in range(MANY)],
        "regression": NUMBERS,
    }[task]
    splits = []
    for name, labels in (("small", values[:80]), ("large", values)):
        prepare(tmp_path / name, settings(jsonl(tmp_path / f"{name}.jsonl", labels), task=task))
        splits.append({split: prepared.read(tmp_path / name, split)["id"].to_pylist() for split in prepared.SPLITS})
    assert all(set(splits[0][split]) <= set(splits[1][split]) for split in prepared.SPLITS)
    before = {path: path.read_bytes() for path in sorted((tmp_path / "large").rglob("*.parquet"))}
    prepare(tmp_path / "large", settings(tmp_path / "large.jsonl", task=task))
    assert before == {path: path.read_bytes() for path in sorted((tmp_path / "large").rglob("*.parquet"))}
