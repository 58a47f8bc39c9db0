"""prepare on tables with several labels per row."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.prepare import prepare
from stages.tables import label_texts, prepared
from stages.tables.labels_file import NewLabel, append
from tests.labelled_tables import LISTS, MANY, WANTED, Printed, by_text, csv, jsonl, names_of, refused
from tests.tables_of_text import rejected, settings


def yes_no_table(path: Path) -> Path:
    lines = [f"text {n}\t{'ny'[n % 3 == 0]}\t{int(n % 2 == 0)}\n" for n in range(MANY)]
    path.write_text("text\tbilling\tbug\n" + "".join(lines), "utf-8")
    return path


def hub_table(path: Path) -> Path:
    """Lists of class numbers, with names in the metadata, as data sets of the hub have them."""
    feature = {"feature": {"names": ["bug", "billing"], "_type": "ClassLabel"}, "_type": "List"}
    metadata = {"huggingface": json.dumps({"info": {"features": {"label": feature}}})}
    numbers = [[("bug", "billing").index(name) for name in names] for names in LISTS]
    table = pa.table({"text": [f"text {n}" for n in range(MANY)], "label": pa.array(numbers, pa.list_(pa.int64()))})
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return path


def test_every_form_of_several_labels_makes_the_same_table(tmp_path: Path, capsys: Printed) -> None:
    forms: dict[str, tuple[Path, dict[str, Any], str]] = {
        "jsonl": (jsonl(tmp_path / "a.jsonl", LISTS), {}, "label holds lists"),
        "hub": (hub_table(tmp_path / "a.parquet"), {}, "label holds lists"),
        "text": (csv(tmp_path / "a.csv", list(WANTED.values())), {}, "lists written as text, such as"),
        "pandas": (csv(tmp_path / "b.csv", list(map(str, LISTS))), {}, "lists written as text"),
        "separator": (
            csv(tmp_path / "c.csv", ["; ".join(names) or ";" for names in LISTS]),
            {"label_separator": ";"},
            "prepare.label_separator is set",
        ),
        "columns": (
            yes_no_table(tmp_path / "d.csv"),
            {"label": ("billing", "bug")},
            "prepare.label names several columns",
        ),
    }
    for name, (table, changes, reason) in forms.items():
        prepare(tmp_path / name, settings(table, **changes))
        printed = capsys.readouterr().out
        assert "the task is multilabel, since" in printed and reason in printed, name
        assert f"{MANY} rows with 2 labels -> " in printed
        assert by_text(tmp_path / name) == WANTED, name
        assert prepared.read_info(tmp_path / name).task == "multilabel"
        prepare(tmp_path / "told", settings(table, task="multilabel", **changes))
        assert "the task is" not in capsys.readouterr().out
        assert by_text(tmp_path / "told") == WANTED


def test_rows_with_several_labels_count_for_each(tmp_path: Path) -> None:
    prepare(tmp_path / "out", settings(jsonl(tmp_path / "rows.jsonl", LISTS)))
    summary = json.loads((tmp_path / "out/summary.json").read_text("utf-8"))
    assert summary["task"] == "multilabel" and sum(summary["kept"].values()) == MANY
    counts = {label: sum(splits.values()) for label, splits in summary["classes"].items()}
    assert counts == Counter(name for names in LISTS for name in names)


def test_an_empty_list_is_a_label_and_an_empty_cell_is_none(tmp_path: Path, capsys: Printed) -> None:
    prepare(tmp_path / "out", settings(jsonl(tmp_path / "rows.jsonl", [*LISTS, [], None, ""])))
    labels = by_text(tmp_path / "out")
    assert labels[f"text {MANY}"] == "[]" and labels[f"text {MANY + 1}"] is labels[f"text {MANY + 2}"] is None
    printed = capsys.readouterr().out
    assert "2 unlabelled" in printed and "write their labels into the table" in printed
    assert "stages.label" not in printed


def test_a_few_bad_labels_are_listed_and_many_are_an_error(tmp_path: Path) -> None:
    bad = [*LISTS, "bug", [["bug"]]]
    prepare(tmp_path / "out", settings(jsonl(tmp_path / "rows.jsonl", bad), max_rejected=0.02))
    assert rejected(tmp_path / "out") == [
        ("rows.jsonl:121", "label is 'bug', not a list of labels"),
        ("rows.jsonl:122", "label has an entry that is a list, not one value"),
    ]
    assert "2 of 122 rows cannot be used" in refused(tmp_path, tmp_path / "rows.jsonl")


def test_a_third_value_in_a_column_of_yes_and_no(tmp_path: Path) -> None:
    table = yes_no_table(tmp_path / "rows.csv")
    table.write_text(table.read_text("utf-8") + "text x\tmaybe\t0\n", "utf-8")
    prepare(tmp_path / "out", settings(table, label=("billing", "bug")))
    ((source, reason),) = rejected(tmp_path / "out")
    assert source == "rows.csv:122" and reason.startswith("billing is 'maybe', which is neither yes nor no")
    words = refused(tmp_path, table, label=("billing", "bug"), max_rejected=0)
    assert "1 of 121 rows" in words and "billing is 'maybe'" in words
    assert "has no column bugs; it has text, billing, bug" in refused(tmp_path, table, label=("billing", "bugs"))


def test_tables_of_unlabelled_rows_need_no_columns_of_labels(tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    yes_no_table(folder / "train.csv")
    (folder / "unlabelled.csv").write_text("text\nwaiting\n", "utf-8")
    prepare(tmp_path / "out", settings(folder, label=("billing", "bug")))
    assert by_text(tmp_path / "out") == {**WANTED, "waiting": None}


def test_a_separator_that_never_occurs(tmp_path: Path) -> None:
    table = csv(tmp_path / "rows.csv", ["bug, billing", "bug"] * 60)
    words = refused(tmp_path, table, label_separator=";")
    assert "prepare.label_separator is ';', which occurs in no row of label" in words
    assert "such as 'bug, billing' and 'bug'; set prepare.label_separator to ','" in words
    lists = jsonl(tmp_path / "rows.jsonl", LISTS)
    assert "set prepare.label_separator to null, as lists need none" in refused(tmp_path, lists, label_separator=",")
    late = csv(tmp_path / "late.csv", ["bug"] * 15_000 + ["bug;billing"] * 10)
    prepare(tmp_path / "late", settings(late, label_separator=";"))


def test_several_labels_need_a_list_a_separator_or_columns(tmp_path: Path) -> None:
    table = csv(tmp_path / "rows.csv", ["bug|billing", "bug"] * 60)
    words = refused(tmp_path, table, task="multilabel")
    assert "prepare.task is multilabel, but label holds 'bug|billing' and 'bug', which are no lists" in words
    assert "set prepare.label_separator to '|'" in words and "yes and no" in words


def test_texts_of_several_lines_are_no_rows_where_the_labels_are_looked_at(tmp_path: Path) -> None:
    rows = [f"text {n},{'ab'[n % 2]}\n" for n in range(60)]
    (tmp_path / "rows.csv").write_text("text,label\n" + "".join(rows) + '"it begins, and\nends",a\n', "utf-8")
    prepare(tmp_path / "out", settings(tmp_path / "rows.csv"))
    assert by_text(tmp_path / "out")["it begins, and\nends"] == "a"


def test_lists_in_texts_are_classes_if_the_task_says_so(tmp_path: Path, capsys: Printed) -> None:
    prepare(tmp_path / "out", settings(csv(tmp_path / "rows.csv", ['["a"]', '["b"]'] * 60), task="single"))
    assert "in 2 classes" in capsys.readouterr().out and prepared.read_info(tmp_path / "out").task == "single"
    prepare(tmp_path / "out", settings(csv(tmp_path / "mixed.csv", ['["a"]', "b"] * 60)))
    assert "in 2 classes" in capsys.readouterr().out, "not every value is a list"


def test_rare_labels_leave_their_rows(tmp_path: Path, capsys: Printed) -> None:
    table = jsonl(tmp_path / "rows.jsonl", [*LISTS, ["rare", "bug"], ["rare"]])
    prepare(tmp_path / "out", settings(table, min_rows=3))
    labels = by_text(tmp_path / "out")
    assert labels[f"text {MANY}"] == '["bug"]' and labels[f"text {MANY + 1}"] == "[]"
    assert rejected(tmp_path / "out") == []
    assert "labels with fewer than prepare.min_rows = 3 rows are left out: rare\n" in capsys.readouterr().out


def test_a_label_without_training_rows_leaves_its_rows(tmp_path: Path, capsys: Printed) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    jsonl(folder / "train.jsonl", [*LISTS, ["train only"]])
    test = [{"text": f"other {n}", "label": ["bug", "new"]} for n in range(40)]
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in test), "utf-8")
    prepare(tmp_path / "out", settings(folder))
    assert by_text(tmp_path / "out")["other 3"] == '["bug"]'
    printed = capsys.readouterr().out
    assert "no training row for new: this label is taken out of 40 rows of other splits" in printed
    assert "no test row for billing, train only, which" in printed


def test_rows_whose_labels_are_all_alike(tmp_path: Path) -> None:
    same = jsonl(tmp_path / "same.jsonl", [["bug"]] * MANY)
    assert "has the same labels in every training row, bug; a classifier needs rows that differ" in refused(
        tmp_path, same
    )
    none = jsonl(tmp_path / "none.jsonl", [[]] * MANY)
    assert "has no row with a label" in refused(tmp_path, none)


def test_every_label_of_few_rows_trains_and_tests(tmp_path: Path) -> None:
    labels = [[f"tag {n % 30}", f"tag {(7 * n + 1) % 30}"] for n in range(60)]
    for seed in range(3):
        prepare(tmp_path / "out", settings(jsonl(tmp_path / "rows.jsonl", labels), seed=seed))
        for split in ("train", "test"):
            texts = prepared.read(tmp_path / "out", split)["label"].to_pylist()
            assert len({name for text in texts for name in label_texts.names(text)}) == 30


def test_equal_content_with_other_labels_is_a_conflict(tmp_path: Path) -> None:
    rows = [{"text": f"text {n % MANY}", "label": names_of(n % MANY)} for n in range(MANY + 1)]
    rows[-1]["label"] = ["billing", "bug", "bug"]
    rows.append({"text": "text 1", "label": ["bug"]})
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    prepare(tmp_path / "out", settings(tmp_path / "rows.jsonl"))
    reasons = dict(rejected(tmp_path / "out"))
    assert reasons == {
        "rows.jsonl:2": 'the same content is labelled ["bug"] and []',
        "rows.jsonl:121": "duplicate of rows.jsonl:1",
        "rows.jsonl:122": 'the same content is labelled ["bug"] and []',
    }


def label_file(path: Path, labels: dict[int, str]) -> str:
    append(path, [NewLabel(prepared.content_id(f"text {n}"), f"text {n}", label) for n, label in labels.items()])
    return str(path)


def test_the_file_of_labels_has_lists_or_divided_names(tmp_path: Path, capsys: Printed) -> None:
    table = jsonl(tmp_path / "rows.jsonl", [*LISTS, None, None])
    file = label_file(tmp_path / "labels.csv", {MANY: '["bug", "billing"]', 1: "[]", 2: '["new"]'})
    prepare(tmp_path / "out", settings(table, labels=file))
    labels = by_text(tmp_path / "out")
    assert (labels[f"text {MANY}"], labels["text 1"], labels["text 2"]) == ('["billing", "bug"]', "[]", '["new"]')
    printed = capsys.readouterr().out
    assert "1 row has another label" in printed and "a class that" in printed and "'new'" in printed
    divided = csv(tmp_path / "rows.csv", ["bug;billing", "bug", ""] * 40)
    file = label_file(tmp_path / "divided.csv", {2: "billing; bug", 5: '["bug"]', 8: ";"})
    prepare(tmp_path / "divided", settings(divided, labels=file, label_separator=";"))
    labels = by_text(tmp_path / "divided")
    assert (labels["text 2"], labels["text 5"], labels["text 8"]) == ('["billing", "bug"]', '["bug"]', "[]")
    wrong = label_file(tmp_path / "wrong.csv", {0: "bug", 1: "billing"})
    words = refused(tmp_path, table, labels=wrong)
    assert "wrong.csv: the label in line 2 is 'bug', not a list of labels; correct it, or delete the line" in words


def test_the_file_of_labels_tells_the_task_where_the_table_has_none(tmp_path: Path) -> None:
    table = csv(tmp_path / "rows.csv", [""] * MANY)
    file = label_file(tmp_path / "labels.csv", {n: WANTED[f"text {n}"] for n in range(100)})
    prepare(tmp_path / "out", settings(table, labels=file))
    assert prepared.read_info(tmp_path / "out").task == "multilabel"
    assert by_text(tmp_path / "out")["text 6"] == '["billing", "bug"]'
