"""Rows with several labels, from the raw table to the gate."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from playwright.sync_api import Browser

from tests.browsers import browser  # noqa: F401, a fixture
from tests.conftest import Once
from tests.evaluation.report_pages import Opened
from tests.pictures import encoded
from tests.projects import QUICK, Verb, make_project, run_stages, set_params, stage

DATA = "data/rows.jsonl"
WORDS = {"bug": ("crash", "error"), "billing": ("invoice", "refund"), "praise": ("lovely", "thanks")}


def write_rows(project: Path, count: int = 240, seed: int = 0, wrong: Sequence[int] = ()) -> list[list[str]]:
    """Write texts whose words tell their labels, none to three of them; the rows `wrong` lack their first label."""
    generator = np.random.default_rng(seed)
    labels, lines = [], []
    for number in range(count):
        names = [name for name in WORDS if generator.random() < 0.4]
        words = [str(generator.choice(WORDS[name])) for name in names] + [f"ticket{number}", "hello"]
        given = names[1:] if number in wrong else names
        labels.append(given)
        lines.append(json.dumps({"text": " ".join(generator.permutation(words)), "tags": given}))
    (project / DATA).write_text("\n".join(lines) + "\n", "utf-8")
    return labels


def make_evaluated(folder: Path, **changes: object) -> Path:
    project = make_project(folder)
    write_rows(project)
    set_params(project, **{**QUICK, **changes}, prepare__data=DATA, prepare__label="tags")
    return run_stages(project)


@pytest.fixture(scope="module")
def evaluated(once: Once) -> Path:
    return once("multilabel", make_evaluated)


def details(project: Path) -> dict[str, dict[str, float]]:
    content: dict[str, dict[str, float]] = json.loads((project / "data/evaluation/details.json").read_text("utf-8"))
    return content


def test_the_head_learns_the_rule(evaluated: Path) -> None:
    card = json.loads((evaluated / "data/head/model.json").read_text("utf-8"))
    assert card["task"] == "multilabel" and card["labels"] == ["billing", "bug", "praise"]
    assert len(card["decisions"]["thresholds"]) == len(card["decisions"]["temperatures"]) == 3
    head = details(evaluated)["head"]
    assert head["accuracy"] > 0.9 and head["macro_f1"] > 0.9 and head["micro_f1"] > 0.9
    assert head["hamming_loss"] < 0.05 and head["mean_average_precision"] > 0.9
    assert {"low", "high"} == details(evaluated)["head_ci95"]["micro_f1"].keys()


def test_predictions_hold_lists_and_the_metrics_are_theirs(evaluated: Path) -> None:
    table = pq.read_table(evaluated / "data/evaluation/predictions.parquet").to_pylist()
    rows = [row for row in table if row["model"] == "head"]
    assert all(isinstance(row["predicted"], list) for row in rows)
    right = [sorted(row["predicted"]) == json.loads(row["label"]) for row in rows]
    assert details(evaluated)["head"]["accuracy"] == pytest.approx(np.mean(right), abs=1e-4)
    card = json.loads((evaluated / "data/head/model.json").read_text("utf-8"))
    for row in rows:
        limits = zip(card["labels"], card["decisions"]["thresholds"], strict=True)
        assert row["predicted"] == [label for label, limit in limits if row[f"p_{label}"] >= limit - 1e-6]


def test_plots_and_report_show_labels(evaluated: Path) -> None:
    plots = evaluated / "data/evaluation/plots/head"
    per_class = json.loads((plots / "per_class.json").read_text("utf-8"))
    assert [row["label"] for row in per_class] == ["billing", "bug", "praise"]
    assert all("average_precision" in row for row in per_class)
    page = (evaluated / "data/evaluation/report.html").read_text("utf-8")
    assert "3 labels of texts" in page and "Labels given in place of others" in page


def test_the_report_opens_without_an_error(evaluated: Path, browser: Browser) -> None:  # noqa: F811
    report = Opened(browser, evaluated / "data/evaluation/report.html")
    assert report.page.locator("#class-table tbody tr").count() == 3
    report.page.locator("#row-mistakes").uncheck()
    assert report.count() > 10 and report.problems == []


def test_wrong_labels_are_found(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    labels = write_rows(project, wrong=(3, 5, 8, 13, 21))
    set_params(project, **QUICK, prepare__data=DATA, prepare__label="tags")
    run_stages(project)
    suspects = pq.read_table(project / "data/evaluation/label_errors.parquet").to_pandas()
    prepared = pd.concat(
        pq.read_table(project / f"data/prepared/{split}").to_pandas() for split in ("train", "test")
    ).set_index("id")
    found = {int(prepared.loc[row.id, "text"].split("ticket")[1].split()[0]) for row in suspects.itertuples()}
    assert len(labels) == 240 and found <= {3, 5, 8, 13, 21} and len(found) >= 2
    for row in suspects.itertuples():
        changed = {*json.loads(row.label)} ^ {*json.loads(row.suggested)}
        assert len(changed) == 1


def test_new_rows_get_lists(evaluated: Path) -> None:
    new = evaluated / "new.csv"
    new.write_text("text\nmy invoice gives an error\nhello there\n", "utf-8")
    for name in ("out.csv", "out.jsonl", "out.parquet"):
        stage(evaluated, "predict", "data/head", "new.csv", name)
    rows = [json.loads(line) for line in (evaluated / "out.jsonl").read_text("utf-8").splitlines()]
    assert [row["predicted"] for row in rows] == [["billing", "bug"], []]
    assert pq.read_table(evaluated / "out.parquet")["predicted"].to_pylist() == [["billing", "bug"], []]
    assert pd.read_csv(evaluated / "out.csv")["predicted"].tolist() == ['["billing", "bug"]', "[]"]


def test_the_gate_compares_two_evaluations(evaluated: Path, tmp_path: Path) -> None:
    worse = make_evaluated(tmp_path / "worse", budget__per_class=2)
    done = stage(worse, "gate", str(evaluated / "data/evaluation"), check=False)
    assert done.returncode == 1 and "accuracy" in done.stdout and "worse" in done.stdout
    done = stage(evaluated, "gate", str(evaluated / "data/evaluation"))
    assert done.returncode == 0 and "gate: passed" in done.stdout


def test_backbones_are_compared_by_rows_with_all_labels_right(evaluated: Path) -> None:
    set_params(evaluated, compare__backbones=["tfidf:word", "tfidf:char_wb"])
    stage(evaluated, "compare_backbones")
    board = json.loads((evaluated / "data/leaderboard/leaderboard.json").read_text("utf-8"))
    assert board["classes"] == 3 and {entry["backbone"] for entry in board["backbones"]} == {
        "tfidf:word",
        "tfidf:char_wb",
    }
    assert all(entry["accuracy"] > 0.9 for entry in board["backbones"])


def test_folds_judge_the_rows_where_none_are_tested(tmp_path: Path) -> None:
    project = make_evaluated(tmp_path / "project", prepare__test=0.0, train_head__C=[10])
    numbers = details(project)
    assert numbers["cross_validated_rows"] == 240 and numbers["head"]["accuracy"] > 0.9
    rows = pq.read_table(project / "data/evaluation/predictions.parquet").to_pandas()
    assert set(rows["fold"]) == {1, 2, 3, 4, 5}


def test_the_same_rows_give_the_same_bytes(evaluated: Path, tmp_path: Path) -> None:
    again = make_evaluated(tmp_path / "again")
    for name in ("data/prepared", "data/features", "data/head", "data/evaluation"):
        files = sorted(path.relative_to(evaluated) for path in (evaluated / name).rglob("*") if path.is_file())
        assert files
        for path in files:
            assert (again / path).read_bytes() == (evaluated / path).read_bytes(), path


def test_pictures_may_have_several_labels(project: Path, verb: Verb) -> None:
    """Their table names the files; red, green or both are what they are made of."""
    lines = ["image,colours"]
    for number in range(60):
        red, green = number % 3 != 1, number % 3 != 2
        picture = Image.new("RGB", (9, 9), (255 * red, 255 * green, 4 * number))
        (project / f"data/{number}.png").write_bytes(encoded(picture))
        lines.append(f"{number}.png,{';'.join(['green'] * green + ['red'] * red)}")
    (project / "data/pictures.csv").write_text("\n".join(lines) + "\n", "utf-8")
    data = {"data": "data/pictures.csv", "input": "image", "label": "colours", "label_separator": ";"}
    pixels = {"backbone__family": "pixels", "backbone__name": "rgb", "backbone__revision": None}
    set_params(project, **{**QUICK, **pixels}, **{f"prepare__{key}": value for key, value in data.items()})
    for name in ("prepare", "extract", "train_head"):
        verb(name)
    verb("predict", "data/head", "data/pictures.csv", "out.parquet")
    said = pq.read_table(project / "out.parquet")["predicted"].to_pylist()
    assert said == 20 * [["green", "red"], ["green"], ["red"]]
