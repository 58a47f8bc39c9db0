"""suggest: the file of rows to label next."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stages.tables import features, prepared
from tests.pictures import png
from tests.projects import TFIDF, UP_TO_HEAD, Verb, run, run_stages, set_params

COLUMNS = ["id", "source", "text", "predicted", "confidence", "margin", "reason", "label"]


def use_reviews(project: Path, labels: int, **changes: Any) -> None:
    """The demo data, of which the first rows have labels."""
    with (project / "data/reviews.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    rows = [[text, category if n < labels else "", *others] for n, (text, category, *others) in enumerate(rows)]
    with (project / "data/rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    set_params(project, prepare__data="data/rows.csv", **{**TFIDF, **changes})


@pytest.fixture
def labelled(project: Path) -> Path:
    use_reviews(project, 200)
    return run_stages(project, *UP_TO_HEAD)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_rows_are_named_with_guess_and_reason_and_an_empty_label(labelled: Path, verb: Verb) -> None:
    done = verb("suggest", "data/head", "NEXT.csv", "--rows", "20")
    rows = read(labelled / "NEXT.csv")
    table = prepared.read(labelled / "data/prepared", "unlabelled")
    texts = {row["id"]: (row["source"], row["text"]) for row in table.to_pylist()}
    assert list(rows[0]) == COLUMNS and len({row["id"] for row in rows}) == 20
    for row in rows:
        assert (row["source"], row["text"]) == texts[row["id"]] and row["label"] == ""
        assert 0 <= float(row["margin"]) <= float(row["confidence"]) <= 1
        assert row["reason"].startswith(f"{row['predicted']} ({float(row['confidence']):.2f})")
        assert (") or " in row["reason"]) == (float(row["margin"]) < 0.5) and "; stands for " in row["reason"]
    assert done.stdout.startswith(
        f"suggest: 20 of {len(table)} unlabelled rows of which the head is unsure -> NEXT.csv"
    )
    first = (labelled / "NEXT.csv").read_bytes()
    verb("suggest", "data/head", "NEXT.csv", "--rows", "20")
    assert (labelled / "NEXT.csv").read_bytes() == first


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "xlsx"])
def test_formats(labelled: Path, verb: Verb, suffix: str) -> None:
    verb("suggest", "data/head", f"NEXT.{suffix}", "--rows", "3")
    path = labelled / f"NEXT.{suffix}"
    if suffix == "jsonl":
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        assert list(rows[0]) == COLUMNS and rows[0]["label"] is None
    elif suffix == "parquet":
        assert pq.read_table(path).column_names == COLUMNS and pq.read_metadata(path).num_rows == 3
    verb("suggest", "data/head", f"NEXT.{suffix}", "--rows", "4")  # its own file is replaced


@pytest.mark.parametrize("labels", [0, 1])
def test_without_a_head_typical_rows_are_named(project: Path, verb: Verb, labels: int) -> None:
    use_reviews(project, labels)
    run_stages(project, "prepare", "extract")
    done = verb("suggest", "data/head", "NEXT.csv", "--rows", "10")
    rows = read(project / "NEXT.csv")
    assert {(row["predicted"], row["confidence"], row["margin"]) for row in rows} == {("", "", "")}
    assert all(row["reason"].startswith("stands for ") for row in rows) and len(rows) == 10
    assert f"10 of {800 - labels} unlabelled rows that are typical, as there is no head yet" in done.stdout


def test_the_next_suggestions_know_the_labels(labelled: Path, verb: Verb) -> None:
    verb("suggest", "data/head", "NEXT.csv", "--rows", "30")
    first = {row["id"]: row["text"] for row in read(labelled / "NEXT.csv")}
    with (labelled / "data/rows.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    wanted = set(first.values())
    with (labelled / "data/rows.csv").open("w", newline="", encoding="utf-8") as file:
        named = [["".join(row[:1]), "books" if row[0] in wanted else row[1], *row[2:]] for row in rows]
        csv.writer(file).writerows([header, *named])
    run_stages(labelled, *UP_TO_HEAD)
    verb("suggest", "data/head", "NEXT.csv", "--rows", "30")
    assert not first.keys() & {row["id"] for row in read(labelled / "NEXT.csv")}


def test_suggested_rows_train_once_they_have_labels(labelled: Path, verb: Verb) -> None:
    verb("suggest", "data/head", "NEXT.csv", "--rows", "100")
    texts = {row["text"]: row["id"] for row in read(labelled / "NEXT.csv")}
    with (labelled / "data/rows.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    rows = [[text, "books" if text in texts else label, *others] for text, label, *others in rows]
    with (labelled / "data/rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    verb("prepare")
    ids = prepared.identities(labelled / "data/prepared", "train")["id"].to_pylist()
    assert len(texts) == 100 and set(texts.values()) <= set(ids)


def test_a_file_with_labels_is_never_replaced(labelled: Path, verb: Verb) -> None:
    verb("suggest", "data/head", "NEXT.csv", "--rows", "5")
    path = labelled / "NEXT.csv"
    for separator in (",", ";"):  # as spreadsheets save it
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file, delimiter=","))
        rows[2][-1] = "books"
        with (labelled / "SAVED.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=separator).writerows(rows)
        before = (labelled / "SAVED.csv").read_bytes()
        done = verb("suggest", "data/head", "SAVED.csv", check=False)
        assert done.returncode == 1 and "SAVED.csv holds 1 label, which would be lost" in done.stderr
        assert (labelled / "SAVED.csv").read_bytes() == before


def test_mistakes_end_with_one_sentence(labelled: Path, verb: Verb, tmp_path: Path) -> None:
    (labelled / "other.csv").write_text("a,b\n1,2\n", "utf-8")
    cases = [
        (["data/head", "NEXT.txt"], "NEXT.txt must end in .csv"),
        (["data/head", "NEXT.csv", "--rows", "0"], "--rows is 0, but must be at least 1"),
        (["data/head", "other.csv"], "other.csv is not replaced, as suggest did not write it"),
        (["data/nothing", "NEXT.csv"], "data/nothing/model.json does not exist"),
        (["data/head", "data/head/NEXT.csv"], "lies in the input data/head"),
        (["data/head", "NEXT.csv", "--features", "data/none"], "data/none"),
    ]
    for arguments, expected in cases:
        done = verb("suggest", *arguments, check=False)
        assert done.returncode == 1 and expected in done.stderr and done.stderr.count("\n") == 1, done.stderr
        assert not (labelled / "NEXT.csv").exists()
    set_params(labelled, extract__unlabelled=False)
    verb("extract")
    done = verb("suggest", "data/head", "NEXT.csv", check=False)
    assert "data/features/unlabelled holds no rows; leave the label of rows in your table empty" in done.stderr
    set_params(labelled, extract__unlabelled=True, backbone__name="char_wb")
    verb("extract")
    done = verb("suggest", "data/head", "NEXT.csv", check=False)
    assert "data/head was trained on features of another backbone than data/features holds" in done.stderr


def test_rows_of_groups_that_are_tested_are_left_out(project: Path, verb: Verb) -> None:
    use_reviews(project, 200)
    with (project / "data/rows.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    with (project / "data/rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([[*header, "who"], *([*row, f"w{n % 40}"] for n, row in enumerate(rows))])
    set_params(project, prepare__group="who")
    run_stages(project, *UP_TO_HEAD)
    verb("suggest", "data/head", "NEXT.csv", "--rows", "500")
    folder = project / "data/features"
    judged = {group for split in ("validation", "test") for group in features.groups(folder, split)}
    groups = dict(zip(features.identities(folder, "unlabelled")[0], features.groups(folder, "unlabelled"), strict=True))
    suggested = {groups[row["id"]] for row in read(project / "NEXT.csv")}
    assert judged & set(groups.values()) and not suggested & judged


def test_pictures(project: Path, verb: Verb) -> None:
    for name in ("cats", "dogs", "unlabelled"):
        (project / "data/photos" / name).mkdir(parents=True)
        for n in range(12):
            (project / f"data/photos/{name}/{n}.png").write_bytes(png(n + 20 * len(name) + ord(name[0]), (40, 40)))
    pixels = {"backbone__family": "pixels", "backbone__name": "rgb", "backbone__revision": None}
    set_params(project, prepare__data="data/photos", **pixels)
    run_stages(project, *UP_TO_HEAD)
    verb("suggest", "data/head", "NEXT.csv", "--rows", "3")
    rows = read(project / "NEXT.csv")
    assert "text" not in rows[0] and all(row["source"].startswith("unlabelled/") for row in rows)


def test_no_torch_is_imported(labelled: Path) -> None:
    code = "import sys; sys.argv[1:] = ['data/head', 'NEXT.csv']; from stages import suggest; suggest.main()"
    code += "; print([name for name in ('torch', 'transformers', 'torchvision', 'timm') if name in sys.modules])"
    assert run(labelled, sys.executable, "-c", code).stdout.endswith("[]\n")
