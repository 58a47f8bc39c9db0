"""`prepare.test: 0`: every labelled row is judged by cross-validation, from prepare to the gate."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from stages.common.params import BudgetParams
from stages.finetuning import starts
from stages.heads import choosing, linear_layer, model_card
from stages.tables import features
from tests.projects import TFIDF, contents, make_project, run_stages, set_params, stage

SETTINGS: dict[str, object] = {
    **TFIDF,
    "prepare__data": "data/rows.csv",
    "prepare__label": "label",
    "prepare__test": 0,
    "evaluate__learning_curve": [2, 5],
    "evaluate__bootstrap": 50,
    "evaluate__near_duplicates": 0.9,
    "evaluate__explain": 2,
    "train_head__C": [1, 10],
    "train_head__folds": 2,
    "train_head__final": "all",
}


def write(project: Path, rows: int = 66) -> None:
    generator = np.random.default_rng(0)
    lines = ["text,label,group"]
    for row in range(rows):
        words = " ".join(f"w{word}" for word in generator.integers(0, 60, 8))
        k = row % 2 if row % 11 else (row + 1) % 2  # some labels are wrong
        lines.append(f"{['ruby', 'leaf'][row % 2]} {words},{['red', 'green'][k]},g{row // 3}")
    lines[2] = lines[1].replace(",", " w0,", 1)  # a copy, nearly, in the same group
    (project / "data/rows.csv").write_text("\n".join(lines) + "\n", "utf-8")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = make_project(tmp_path_factory.mktemp("untested") / "project")
    write(project)
    set_params(project, **SETTINGS)
    return run_stages(project)


def details(project: Path) -> dict:
    return dict(json.loads((project / "data/evaluation/details.json").read_text("utf-8")))


def test_all_labelled_rows_are_judged_and_none_is_called_a_test_row(project: Path) -> None:
    summary = json.loads((project / "data/prepared/summary.json").read_text("utf-8"))
    assert summary["kept"]["test"] == 0 and summary["kept"]["validation"] > 0
    metrics = json.loads((project / "data/evaluation/metrics.json").read_text("utf-8"))
    assert list(metrics) == ["accuracy", "macro_f1", "baseline", "test_rows", "cross_validated_rows", "classes"]
    assert metrics["test_rows"] == 0 and metrics["cross_validated_rows"] == 66
    numbers = details(project)
    assert numbers["folds"] == numbers["repeats"] == 5 and metrics["accuracy"] == numbers["head"]["accuracy"]
    page = (project / "data/evaluation/report.html").read_text("utf-8")
    assert "There are no test rows. Every labelled row was judged by a head" in page and "66 labelled rows" in page
    assert "66 labelled rows, which are judged by cross-validation." in page
    assert "Labelled rows with a row of another fold at a cosine" in page and "nearest training row" not in page
    assert '"known": ["row of another fold", "rows of other folds"]' in page.replace('","', '", "').replace(
        '":[', '": ['
    )
    assert 'isShown: data.judged === "test row"' in page and "checked: layer.isShown" in page, "drawn once"
    assert "test rows have" not in page and "the test rows" not in page


def test_metrics_are_means_and_predictions_of_the_first_repeat(project: Path) -> None:
    table = pq.read_table(project / "data/evaluation/predictions.parquet").to_pylist()
    head = [row for row in table if row["model"] == "head"]
    labelled = {
        row["id"]: row["label"]
        for split in ("train", "validation")
        for row in pq.read_table(project / "data/prepared" / split).to_pylist()
    }
    assert {row["id"]: row["label"] for row in head} == labelled and len(head) == len(labelled) == 66
    assert {row["fold"] for row in head} == {1, 2, 3, 4, 5}
    accuracy = np.mean([row["label"] == row["predicted"] for row in head])
    assert abs(accuracy - details(project)["head"]["accuracy"]) < 0.1
    assert (
        sum(
            row["rows"]
            for row in json.loads((project / "data/evaluation/plots/head/reliability.json").read_text("utf-8"))
        )
        == 66
    )


def test_intervals_are_longer_than_those_of_as_many_test_rows(project: Path) -> None:
    from stages.scores import proportions

    numbers = details(project)
    ends = numbers["head_ci95"]["accuracy"]
    low, high = proportions.interval(round(66 * numbers["head"]["accuracy"]), 66)
    assert 1.03 < (ends["high"] - ends["low"]) / (high - low) < 1.15
    for metric, (low, high) in {name: tuple(pair.values()) for name, pair in numbers["head_ci95"].items()}.items():
        assert low <= numbers["head"][metric] <= high


def test_the_copy_in_the_same_group_is_a_near_duplicate_unless_groups_are_kept(project: Path, tmp_path: Path) -> None:
    assert details(project)["near_duplicates"]["test_rows"] == 2
    other = make_project(tmp_path / "project")
    write(other)
    set_params(other, **{**SETTINGS, "prepare__group": "group", "evaluate__learning_curve": [], "evaluate__explain": 0})
    run_stages(other)
    numbers = details(other)
    assert numbers["near_duplicates"]["test_rows"] == 0 and numbers["cross_validated_rows"] == 66
    table = pq.read_table(other / "data/evaluation/predictions.parquet").to_pylist()
    groups = {
        row["id"]: row["group"]
        for split in ("train", "validation")
        for row in pq.read_table(other / "data/prepared" / split).to_pylist()
    }
    folds: dict[str, set[int]] = {}
    for row in table:
        folds.setdefault(groups[row["id"]], set()).add(row["fold"])
    assert all(len(numbers) == 1 for numbers in folds.values()), "groups stay in one fold"


def test_the_same_bytes_every_time(project: Path) -> None:
    before = contents(project / "data/evaluation")
    stage(project, "evaluate")
    assert contents(project / "data/evaluation") == before


def test_the_gate_joins_cross_validated_rows_by_id(project: Path, tmp_path: Path) -> None:
    done = stage(project, "gate", "data/evaluation", check=False)
    assert done.returncode == 0 and "66 cross-validated rows in common" in done.stdout


def test_the_head_is_fitted_on_every_labelled_row(project: Path) -> None:
    card = model_card.read_head(project / "data/head")
    assert card.training["rows"] == 66 and card.training["splits"] == ["train", "validation"]
    assert card.validation_temperature == 1 and card.temperature != 1


def test_finetune_starts_from_a_head_that_has_not_seen_the_validation_rows(project: Path) -> None:
    head, table = project / "data/head", project / "data/features"
    _, layer = starts.from_head(head, model_card.read_head(head), table, BudgetParams())
    train = features.read(table, "train")
    fitted = choosing.logistic_head(train.X, train.labels)[0].layer()
    assert fitted is not None
    for part, wanted in zip(layer, fitted, strict=True):
        np.testing.assert_array_equal(part, wanted)
    shipped = linear_layer.read(head)
    assert shipped is not None and np.abs(shipped[0] - layer[0]).max() > 0.01


def test_a_fine_tuned_model_is_not_presented_as_judged(project: Path) -> None:
    folder = project / "data/finetuned"
    before = contents(folder)
    card = model_card.read_head(project / "data/head")
    epochs = [{"epoch": 1, "loss": 0.1, "learning_rate": 0.1, "accuracy": 1.0, "log_loss": 0.01}]
    training = {"rows": 66, "validation_rows": 9, "steps": 3, "start": {}, "epochs": epochs, "kept_epoch": 1}
    model_card.write(folder, card.model_copy(update={"method": "full", "training": training}))
    try:
        done = stage(project, "evaluate")
        numbers = details(project)
        assert "finetuned" not in numbers and "no test rows" in numbers["not_judged"]["finetuned"]
        assert "finetuned is not judged: there are no test rows" in done.stdout
        assert "The finetuned model is not judged" in (project / "data/evaluation/report.html").read_text("utf-8")
        assert {*pq.read_table(project / "data/evaluation/predictions.parquet")["model"].to_pylist()} == {
            "head",
            "baseline",
        }
    finally:
        (folder / model_card.FILE).write_bytes(before[model_card.FILE])
        stage(project, "evaluate")


def test_a_head_of_other_settings_is_refused(project: Path) -> None:
    set_params(project, train_head__final="train")
    try:
        done = stage(project, "evaluate", check=False)
        assert done.returncode == 1 and "other settings than train_head has now; run `dvc repro`" in done.stderr
    finally:
        set_params(project, train_head__final="all")
