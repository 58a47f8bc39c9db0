"""What evaluate writes, on a TF-IDF backbone that takes no time."""

import json
import shutil
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from stages.evaluation import explained_mistakes
from stages.heads import certainty_file
from stages.tables import features
from tests.conftest import copy
from tests.projects import ROOT, STAGES, contents, make_project, run, run_stages, set_params, stage

SETTINGS: dict[str, object] = {
    "prepare__data": "data/rows.csv",
    "prepare__label": "label",
    "prepare__split": "split",
    "backbone__family": "tfidf",
    "backbone__name": "char_wb",
    "backbone__revision": None,
}


def evaluated(folder: Path, lines: list[str], **changes: object) -> tuple[dict, Path]:
    """details.json, and the evaluation's folder, of a project whose table has the columns text, label, split."""
    project = make_project(folder)
    (project / "data/rows.csv").write_text("\n".join(["text,label,split", *lines]) + "\n", "utf-8")
    set_params(project, **{**SETTINGS, **changes})
    run_stages(project)
    return json.loads((project / "data/evaluation/details.json").read_text("utf-8")), project / "data/evaluation"


def rows(train: int, test: int) -> list[str]:
    generator = np.random.default_rng(0)
    out = []
    for row in range(train + test):
        k = row % 2
        words = " ".join(f"w{word}" for word in generator.integers(0, 500, 8))
        out.append(f"{['ruby', 'leaf'][k]} {words},{['red', 'green'][k]},{'train' if row < train else 'test'}")
    return out


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    lines = rows(120, 60)
    lines[0] = "ruby ruby rubies,green,train"  # a wrong label
    lines[125] = "leaf leaf leaves,red,test"
    lines[130] = lines[10].replace(",red,train", " w1,red,test")  # a copy of a training row, nearly
    return evaluated(
        tmp_path_factory.mktemp("usual") / "project", lines, prepare__validation=0, evaluate__near_duplicates=0.95
    )


def test_metrics_json_has_the_numbers_of_a_line_on_the_screen(usual: tuple[dict, Path]) -> None:
    details, folder = usual
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    assert list(metrics) == ["accuracy", "macro_f1", "baseline", "test_rows", "classes"]
    assert metrics["accuracy"] == details["head"]["accuracy"] and metrics["macro_f1"] == details["head"]["macro_f1"]
    assert metrics["baseline"] == details["baseline"]["accuracy"]
    assert metrics["test_rows"] == details["test_rows"] == 60 and metrics["classes"] == 2


def test_details_are_complete_flat_and_in_order(usual: tuple[dict, Path]) -> None:
    metrics, _ = usual
    assert list(metrics) == [
        "test_rows", "classes", "head", "head_ci95", "baseline", "baseline_ci95", "head_minus_baseline",
        "head_minus_baseline_ci95", "head_certainty", "head_certainty_ci95", "cut_rows", "unclear_tokens",
        "labels_saved", "near_duplicates", "label_errors",
    ]  # fmt: skip
    for name, value in metrics["head_minus_baseline"].items():
        if name != "p_value":
            assert value == pytest.approx(metrics["head"][name] - metrics["baseline"][name], abs=2e-4)
    ends = metrics["head_minus_baseline_ci95"]["accuracy"]
    assert ends["low"] <= metrics["head_minus_baseline"]["accuracy"] <= ends["high"]
    assert metrics["labels_saved"].keys() == {"accuracy", "backbone", "baseline"}


def test_planted_near_duplicates_and_wrong_labels_are_found(usual: tuple[dict, Path]) -> None:
    metrics, folder = usual
    (pair,) = pq.read_table(folder / "near_duplicates.parquet").to_pylist()
    prepared = folder.parent / "prepared"
    texts = {
        row["id"]: row["text"] for split in ("train", "test") for row in pq.read_table(prepared / split).to_pylist()
    }
    assert texts[pair["id"]] == texts[pair["train_id"]] + " w1" and 0.95 <= pair["cosine"] < 1
    assert metrics["near_duplicates"]["test_rows"] == 1 and "accuracy" in metrics["near_duplicates"]["head_without"]
    errors = pq.read_table(folder / "label_errors.parquet").to_pylist()
    planted = {("train", "green", "red"), ("test", "red", "green")}
    assert {(row["split"], row["label"], row["suggested"]) for row in errors} == planted
    assert metrics["label_errors"] == {"train": 1, "test": 1}


def test_accepted_rows_and_sets_are_counted_as_predictions_have_them(usual: tuple[dict, Path]) -> None:
    details, folder = usual
    table = pq.read_table(folder / "predictions.parquet").to_pylist()
    head, baseline = ([row for row in table if row["model"] == model] for model in ("head", "baseline"))
    assert all(row["accepted"] is row["unfamiliar"] is row["prediction_set"] is None for row in baseline)
    accepted = [row["predicted"] == row["label"] for row in head if row["accepted"]]
    numbers, ends = details["head_certainty"], details["head_certainty_ci95"]
    assert 0 < len(accepted) < len(head) or np.mean(accepted) > 0.9
    assert numbers["accepted"] == pytest.approx(len(accepted) / 60, abs=1e-4)
    assert numbers["accepted_accuracy"] == pytest.approx(np.mean(accepted), abs=1e-4)
    assert numbers["set_size"] == pytest.approx(np.mean([len(row["prediction_set"]) for row in head]), abs=1e-4)
    held = np.mean([row["label"] in row["prediction_set"] for row in head])
    assert numbers["set_coverage"] == pytest.approx(held, abs=1e-4)
    assert numbers["unfamiliar"] == pytest.approx(np.mean([row["unfamiliar"] > 95 for row in head]), abs=1e-4)
    for name in ("accepted_accuracy", "set_coverage", "set_size"):
        assert ends[name]["low"] <= numbers[name] <= ends[name]["high"]
    page = (folder / "report.html").read_text("utf-8")
    assert f"predict accepts {numbers['accepted']:.1%} of the test rows" in page
    assert "predict.coverage is 0.9" in page and "the area under the curve is" in page


def test_a_model_of_an_older_version_is_judged_without_certainty(usual: tuple[dict, Path], tmp_path: Path) -> None:
    project = copy(usual[1].parents[1], tmp_path / "project")
    (project / "data/head" / certainty_file.FILE).unlink()
    stage(project, "evaluate")
    names = pq.read_schema(project / "data/evaluation/predictions.parquet").names
    assert not {"accepted", "unfamiliar", "prediction_set"} & {*names}
    details = json.loads((project / "data/evaluation/details.json").read_text("utf-8"))
    assert details["head_certainty"].keys() == {"accuracy_coverage_area"}


def test_tables_hold_data_and_no_metadata(usual: tuple[dict, Path]) -> None:
    _, folder = usual
    for name in ("predictions", "near_duplicates", "label_errors", "explanations"):
        schema = pq.read_schema(folder / f"{name}.parquet")
        kinds = {"string"} if name == "explanations" else {"string", "float"}
        kinds |= {"bool", "list<element: string>"} if name == "predictions" else set()
        assert schema.metadata is None and {str(kind) for kind in schema.types} == kinds


def test_every_file_that_the_pipeline_names_is_written(usual: tuple[dict, Path]) -> None:
    _, folder = usual
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))
    drawn = {path for plot in pipeline["plots"] for axes in plot.values() for path in axes["y"]}
    outputs = pipeline["stages"]["evaluate"]
    for path in {*drawn, *outputs["outs"], *(name for entry in outputs["metrics"] for name in entry)}:
        assert (folder.parents[1] / path).exists(), path
    curve = json.loads((folder / "plots/learning_curve/baseline.json").read_text("utf-8"))
    assert [point["labels_per_class"] for point in curve] == [2, 5, 10, 20, 50, 60]
    assert all(point["lowest"] <= point["accuracy"] <= point["highest"] for point in curve)
    baseline = [row for row in pq.read_table(folder / "predictions.parquet").to_pylist() if row["model"] == "baseline"]
    right = np.mean([row["label"] == row["predicted"] for row in baseline])
    assert right == pytest.approx(curve[-1]["accuracy"], abs=1e-4), "the curve ends where the baseline is"


def test_the_same_bytes_every_time(usual: tuple[dict, Path]) -> None:
    _, folder = usual
    before = contents(folder)
    stage(folder.parents[1], "evaluate")
    assert contents(folder) == before


def test_a_class_that_is_absent_from_the_test(tmp_path: Path) -> None:
    lines = rows(60, 30)
    lines += [f"sky number {n},blue,train" for n in range(10)]
    metrics, folder = evaluated(tmp_path / "project", lines)
    assert metrics["classes"] == 3 and metrics["head_ci95"]["accuracy"]["low"] >= 0
    shares = json.loads((folder / "plots/head/per_class.json").read_text("utf-8"))
    assert [row["support"] for row in shares if row["label"] == "blue"] == [0]


def test_a_single_test_row_and_a_single_training_row_of_a_class(tmp_path: Path) -> None:
    lines = [*rows(40, 1), "sky,blue,train"]
    changes = {"train_head__C": [1], "prepare__validation": 0}
    metrics, _ = evaluated(tmp_path / "project", lines, **changes)
    assert metrics["test_rows"] == 1 and metrics["head"]["accuracy"] in (0, 1)
    assert metrics["head_minus_baseline"]["p_value"] == 1


def test_texts_without_words_have_no_baseline(tmp_path: Path) -> None:
    lines = [f"{'!?'[n % 2] * (n + 1)},{'ab'[n % 2]},{'train' if n < 30 else 'test'}" for n in range(40)]
    metrics, _ = evaluated(tmp_path / "project", lines)
    assert "baseline" not in metrics and "baseline" not in metrics["labels_saved"]


def test_the_budget_holds_for_the_baseline_too(tmp_path: Path) -> None:
    _, folder = evaluated(tmp_path / "project", rows(60, 20), budget__per_class=4, evaluate__learning_curve=[2, 10])
    curve = json.loads((folder / "plots/learning_curve/backbone.json").read_text("utf-8"))
    assert [point["labels_per_class"] for point in curve] == [2, 4]


def test_dvc_draws_every_plot(usual: tuple[dict, Path]) -> None:
    _, folder = usual
    project = folder.parents[1]
    done = run(project, sys.executable, "-m", "dvc", "plots", "show", "-o", "drawn")
    page = (project / "drawn/index.html").read_text("utf-8")
    assert done.returncode == 0
    for name in ("backbone.json", "head/reliability.json", "head/per_class.json", "head/roc.json", "actual"):
        assert name in page, name


def test_line_breaks_in_labels_break_no_printed_line(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    lines = [line.replace("red", '"re\n\td"') for line in rows(40, 40)]
    lines += ['"one, alone","al\none",train']
    (project / "data/rows.csv").write_text("\n".join(["text,label,split", *lines]) + "\n", "utf-8")
    set_params(project, **SETTINGS, prepare__min_rows=2, evaluate__learning_curve=[])
    printed = {name: stage(project, name).stdout for name in STAGES}
    for name, text in printed.items():
        assert all(line.startswith(f"{name}: ") for line in text.splitlines()), text
    assert "al\\none" in printed["prepare"]
    shutil.copytree(project / "data/evaluation", project / "base")
    (project / "data/rows.csv").write_text("\n".join(["text,label,split", *rows(40, 40)]) + "\n", "utf-8")
    run_stages(project)
    done = stage(project, "gate", "base", check=False)
    assert done.returncode == 2 and "re\\n\\td is gone" in done.stdout


def test_no_vectors_are_in_memory_while_mistakes_are_explained(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, alive = [], []
    read, explain = features.read, explained_mistakes.table

    def noted(*arguments: Any, **named: Any) -> features.Features:
        rows = read(*arguments, **named)
        vectors.append(weakref.ref(rows.X))
        return rows

    def counted(*arguments: Any, **named: Any) -> Any:
        alive.append(sum(vector() is not None for vector in vectors))
        return explain(*arguments, **named)

    monkeypatch.setattr(features, "read", noted)
    monkeypatch.setattr(explained_mistakes, "table", counted)
    set_params(trained, evaluate__learning_curve=[], evaluate__bootstrap=0)
    for name in ("finetune", "evaluate"):
        stage(trained, name)
    assert len(vectors) == 2 and alive == [0]
