"""prepare on rows without a label, which are a table of their own."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.common.errors import HeadstartError
from stages.prepare import prepare
from stages.tables import prepared
from tests.pictures import png
from tests.projects import contents
from tests.tables_of_text import ROWS, csv_of, rejected, settings, split_ids

EMPTY = [{"text": f"empty {n}", "label": ["", "  "][n % 2]} for n in range(50)]


def unlabelled(folder: Path, column: str = "text") -> list[Any]:
    table = prepared.read(folder, "unlabelled")
    assert table["label"].null_count == len(table)
    return list(table[column].to_pylist())


def json_lines(rows: list[dict[str, Any]], path: Path) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def test_rows_with_an_empty_label_are_kept_as_a_table_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(tmp_path / "out", settings(csv_of([*EMPTY[:25], *ROWS, *EMPTY[25:]], tmp_path / "rows.csv")))
    assert unlabelled(tmp_path / "out") == [row["text"] for row in EMPTY]
    assert not rejected(tmp_path / "out")
    assert json.loads((tmp_path / "out/summary.json").read_text("utf-8"))["unlabelled"] == 50
    printed = capsys.readouterr().out
    assert "50 unlabelled; 0 left out" in printed
    assert "50 rows without a label wait to be used: `python -m stages.label` asks" in printed


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "xlsx"])
def test_what_an_empty_label_is(tmp_path: Path, kind: str) -> None:
    empty = [None, "", " ", "\t"]
    words = ["nan", "None", "NULL"]  # which are classes, as a label can be `none`
    rows = [{"text": f"row {n}", "label": label} for n, label in enumerate(empty + words * 3)]
    path = tmp_path / f"rows.{kind}"
    if kind == "csv":
        csv_of([{"text": row["text"] or "", "label": row["label"] or ""} for row in rows], path)
    elif kind == "jsonl":
        json_lines([*rows, {"text": "not a number", "label": float("nan")}, {"text": "no key"}], path)
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        pd = pytest.importorskip("pandas")
        pytest.importorskip("openpyxl")
        pd.DataFrame(rows).to_excel(path, index=False)
    prepare(tmp_path / "out", settings(path, test=0))
    assert unlabelled(tmp_path / "out")[: len(empty)] == [f"row {n}" for n in range(len(empty))]
    assert len(unlabelled(tmp_path / "out")) == len(empty) + 2 * (kind == "jsonl")
    summary = json.loads((tmp_path / "out/summary.json").read_text("utf-8"))
    assert summary["classes"].keys() == set(words)


def test_numbers_as_labels_and_nan_in_parquet(tmp_path: Path) -> None:
    labels = [float("nan"), None, *[1.0, 2.0] * 5]
    table = pa.table({"text": [f"row {n}" for n in range(len(labels))], "label": pa.array(labels, pa.float64())})
    pq.write_table(table, tmp_path / "rows.parquet")
    prepare(tmp_path / "out", settings(tmp_path / "rows.parquet"))
    assert unlabelled(tmp_path / "out") == ["row 0", "row 1"]


def test_labels_that_are_wrong_are_rejected_still(tmp_path: Path) -> None:
    rows = [*ROWS, {"text": "list", "label": []}, {"text": "mapping", "label": {}}, {"text": None, "label": None}]
    prepare(tmp_path / "out", settings(json_lines(rows, tmp_path / "rows.jsonl"), max_rejected=0.1))
    assert not unlabelled(tmp_path / "out")
    assert [reason for _, reason in rejected(tmp_path / "out")] == [
        "label is a list, not one value",
        "label is a mapping, not one value",
        "text is empty",
    ]


def test_unlabelled_rows_change_no_other_table(tmp_path: Path) -> None:
    prepare(tmp_path / "without", settings(csv_of(ROWS, tmp_path / "rows.csv")))
    prepare(tmp_path / "with", settings(csv_of([*ROWS, *EMPTY], tmp_path / "rows.csv")))
    prepare(tmp_path / "seed", settings(tmp_path / "rows.csv", seed=1))
    without, both, other = (contents(tmp_path / name) for name in ("without", "with", "seed"))
    changed = {name for name in without if without[name] != both[name]}
    assert changed == {"unlabelled/part-00000.parquet", "summary.json"}
    assert both["unlabelled/part-00000.parquet"] == other["unlabelled/part-00000.parquet"]
    assert "unlabelled" not in without["summary.json"].decode()


def test_an_unlabelled_copy_of_a_labelled_row_is_left_out(tmp_path: Path) -> None:
    copies = [{"text": ROWS[n]["text"], "label": ""} for n in range(20)]
    rows = [*copies, EMPTY[0], *ROWS, EMPTY[1], EMPTY[1], EMPTY[0]]
    prepare(tmp_path / "out", settings(csv_of(rows, tmp_path / "rows.csv")))
    ids = split_ids(tmp_path / "out")
    assert sum(map(len, ids.values())) == len(ROWS)
    assert unlabelled(tmp_path / "out") == [EMPTY[0]["text"], EMPTY[1]["text"]]
    reasons = dict(rejected(tmp_path / "out"))
    assert reasons["rows.csv:2"] == "duplicate of rows.csv:23, which has a label"
    assert (
        reasons["rows.csv:224"] == "duplicate of rows.csv:223" and reasons["rows.csv:225"] == "duplicate of rows.csv:22"
    )
    summary = json.loads((tmp_path / "out/summary.json").read_text("utf-8"))
    assert summary["left_out"]["duplicate"] == 22 and summary["unlabelled"] == 2


def test_rows_without_a_label_are_unlabelled_whatever_their_split(tmp_path: Path) -> None:
    parts = ["train", "validation", "test", "", "unsupervised"]
    rows = [{**row, "part": parts[n % 3]} for n, row in enumerate(ROWS)]
    rows += [{**row, "part": parts[n % 5]} for n, row in enumerate(EMPTY)]
    prepare(tmp_path / "out", settings(csv_of(rows, tmp_path / "rows.csv"), split="part"))
    assert len(unlabelled(tmp_path / "out")) == 50 and sum(map(len, split_ids(tmp_path / "out").values())) == 200


def test_a_given_test_split_without_labels_is_none(tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    csv_of(ROWS, folder / "train.csv")
    csv_of(EMPTY, folder / "test.csv")
    prepare(tmp_path / "out", settings(folder))
    assert len(unlabelled(tmp_path / "out")) == 50
    assert all(split_ids(tmp_path / "out").values())


@pytest.mark.parametrize("name", ["unlabelled.csv", "Unlabeled.csv", "unsupervised.csv"])
def test_a_table_of_unlabelled_rows_needs_no_column_of_labels(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    csv_of(ROWS, folder / "train.csv")
    csv_of([{"text": row["text"]} for row in EMPTY], folder / name)
    prepare(tmp_path / "out", settings(folder))
    assert len(unlabelled(tmp_path / "out")) == 50
    csv_of([*EMPTY, ROWS[0]], folder / name)
    prepare(tmp_path / "out", settings(folder))
    assert rejected(tmp_path / "out") == [
        (f"{name}:52", "label is 'a' in a file of unlabelled rows; move the row into train")
    ]


@pytest.mark.parametrize("labels", [[], ["a"], ["a", "b"], ["a", "a", "b"]])
def test_labelling_may_begin_with_no_label(
    tmp_path: Path, labels: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": f"first {n}", "label": label} for n, label in enumerate(labels)]
    prepare(tmp_path / "out", settings(csv_of([*EMPTY, *rows], tmp_path / "rows.csv")))
    assert len(unlabelled(tmp_path / "out")) == 50 and sum(map(len, split_ids(tmp_path / "out").values())) == len(
        labels
    )
    expected = ["has no labelled rows", "has only one class, a", "leaves no test rows", "b train, 0"][len(labels)]
    if len(labels) < 3:
        assert expected in capsys.readouterr().out
        if labels:
            with pytest.raises(HeadstartError, match=expected):
                prepare(tmp_path / "out", settings(csv_of(rows, tmp_path / "rows.csv")))


def test_pairs_of_texts(tmp_path: Path) -> None:
    rows = [{"q": f"q {n}", "a": f"a {n}", "label": "xy"[n % 2] if n < 20 else ""} for n in range(30)]
    prepare(tmp_path / "out", settings(csv_of(rows, tmp_path / "rows.csv"), input=("q", "a")))
    (window,) = prepared.windows(tmp_path / "out", "unlabelled", "text", combine="pair")
    assert window.inputs == [(f"q {n}", f"a {n}") for n in range(20, 30)] and window.labels == [None] * 10


def make_pictures(*folders: Path) -> None:
    for number, folder in enumerate(folders):
        folder.mkdir(parents=True)
        for n in range(4):
            (folder / f"{n}.png").write_bytes(png(10 * number + n))


@pytest.mark.parametrize("name", ["unlabelled", "Unlabeled"])
@pytest.mark.parametrize("inner", ["", "train", "train/unlabelled"])
def test_a_folder_of_unlabelled_pictures(
    tmp_path: Path, name: str, inner: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "photos"
    top = data / "train" if inner else data
    loose = (top if inner.endswith("unlabelled") else data) / name
    make_pictures(top / "cats", top / "dogs", loose, loose / "deeper")
    prepare(tmp_path / "out", settings(data))
    sources = unlabelled(tmp_path / "out", "source")
    where = loose.relative_to(data).as_posix()
    assert sources == [*(f"{where}/{n}.png" for n in range(4)), *(f"{where}/deeper/{n}.png" for n in range(4))]
    assert (
        f"images in {loose} have no label; if that is the name of a class, rename the folder" in capsys.readouterr().out
    )


@pytest.mark.parametrize("classes", [[], ["cats"]])
def test_a_folder_of_pictures_without_labels_yet(
    tmp_path: Path, classes: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    make_pictures(tmp_path / "photos/unlabelled", *(tmp_path / "photos" / name for name in classes))
    prepare(tmp_path / "out", settings(tmp_path / "photos"))
    assert "a classifier needs two classes; `python -m stages.label`" in capsys.readouterr().out
    assert len(unlabelled(tmp_path / "out", "id")) == 4


def test_an_empty_folder_for_unlabelled_pictures_is_skipped(tmp_path: Path) -> None:
    data = tmp_path / "photos"
    make_pictures(data / "train/cats", data / "train/dogs")
    (data / "unlabelled").mkdir()
    prepare(tmp_path / "out", settings(data))
    assert rejected(tmp_path / "out") == [("unlabelled", "skipped: is an empty folder")]


def test_pictures_of_a_table(tmp_path: Path) -> None:
    make_pictures(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    rows = [{"image": f"{label}/{n}.png", "label": label.replace("c", "")} for label in "abc" for n in range(4)]
    prepare(tmp_path / "out", settings(csv_of(rows, tmp_path / "rows.csv"), input="image"))
    assert len(unlabelled(tmp_path / "out", "image")) == 4
