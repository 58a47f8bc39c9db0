"""Fine-tuning as a stage, on a tiny encoder."""

import itertools
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from stages.common import presets
from stages.common.errors import counted
from stages.common.params import RuntimeParams
from stages.finetuning import classifier as classifiers
from stages.finetuning import loop, progress, self_training
from stages.finetuning.progress import Progress
from stages.heads import linear_layer, loading, model_card
from stages.scores import calibration
from stages.tables import features
from tests.conftest import Once, copy
from tests.projects import Verb, contents, make_trained, relabel_validation, run, run_stages, set_params, stage

CPU = RuntimeParams(device="cpu")


@pytest.mark.parametrize("kind", ["logistic", "ridge", "mlp"])
def test_step_0_of_fine_tuning_equals_the_head(trained: Path, verb: Verb, kind: str) -> None:
    from stages.common.params import BudgetParams
    from stages.finetuning import starts

    set_params(trained, train_head__kind=kind)
    verb("train_head")
    head = trained / "data/head"
    described = model_card.read(head)
    assert described is not None
    test = features.read(trained / "data/features", "test")
    texts = pq.read_table(trained / "data/prepared/test")["text"].to_pylist()
    classifier = classifiers.pretrained(described, CPU)
    classifier.start_from(*starts.from_head(head, described, trained / "data/features", BudgetParams()).layer)
    start = classifier.probabilities(texts)
    wanted = loading.load(head, described, test.X.shape[1])(test.X)
    if kind == "mlp":  # a logistic stand-in: the same decisions, not the same numbers
        assert (start.argmax(axis=1) == wanted.argmax(axis=1)).mean() > 0.8
    else:
        np.testing.assert_allclose(start, wanted, atol=1e-3)


def test_without_a_method_only_the_card_is_written(trained: Path, verb: Verb) -> None:
    assert verb("finetune").stdout.startswith("finetune: method none, nothing to train, in ")
    assert contents(trained / "data/finetuned").keys() == {"model.json"}
    assert json.loads((trained / "data/finetuned/model.json").read_text("utf-8")) == {"method": "none"}
    verb("evaluate")
    metrics = json.loads((trained / "data/evaluation/details.json").read_text("utf-8"))
    assert "head" in metrics and "finetuned" not in metrics


def test_a_preset_gives_the_bytes_of_its_values_and_prints_them(trained: Path, verb: Verb) -> None:
    set_params(trained, finetune__preset="few_labels", finetune__epochs=1, finetune__learning_rate=None)
    printed = verb("finetune").stdout.splitlines()[0]
    assert printed.startswith("finetune: preset few_labels: method full, contrastive 1.0, label_names True, ")
    assert "epochs 1, learning_rate 0.0002" in printed and "auto" not in printed
    named = contents(trained / "data/finetuned")
    values = {f"finetune__{name}": value for name, value in presets.VALUES["few_labels"].items()}
    set_params(trained, **values | {"finetune__preset": "none", "finetune__epochs": 1})
    assert verb("finetune").stdout.startswith("finetune: full, ")
    assert contents(trained / "data/finetuned") == named


def test_pseudo_labels_say_that_nothing_is_trained(trained: Path, verb: Verb) -> None:
    set_params(trained, finetune__method=None, finetune__preset="none", finetune__unlabelled="pseudo")
    assert verb("finetune").stdout.splitlines()[1:] == [
        "finetune: unlabelled had no say, since finetune.method is none; set a preset or another method"
    ]


def test_a_preset_says_that_a_method_of_none_was_set(trained: Path, verb: Verb) -> None:
    set_params(trained, finetune__preset="few_labels", finetune__method="none")
    assert verb("finetune").stdout.splitlines()[1] == (
        "finetune: preset few_labels had no say, since finetune.method is none; leave it empty or set another"
    )
    assert json.loads((trained / "data/finetuned/model.json").read_text("utf-8")) == {"method": "none"}


@pytest.fixture(scope="module")
def tuned(once: Once, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project on the tiny encoder with all weights fine-tuned, evaluated."""
    trained = once("trained", partial(make_trained, encoder=tiny_encoder))
    project = copy(trained, tmp_path_factory.mktemp("tuned") / "project")
    set_params(project, finetune__method="full")
    return run_stages(project, "finetune", "evaluate")


def test_fine_tuning_learns(tuned: Path) -> None:
    training = json.loads((tuned / "data/finetuned/model.json").read_text("utf-8"))["training"]
    best = training["epochs"][training["kept_epoch"] - 1]
    assert training["kept_epoch"] and best["log_loss"] < training["start"]["log_loss"]


def test_a_fine_tuned_model_is_in_the_files_of_transformers_and_names_no_path_of_this_machine(tuned: Path) -> None:
    files = contents(tuned / "data/finetuned")
    assert {"model.safetensors", "config.json", "tokenizer.json", "model.json"} <= files.keys()
    assert str(tuned).encode() not in b"".join(files.values())


def test_fine_tuning_again_gives_the_same_bytes(tuned: Path) -> None:
    stage(tuned, "finetune", "data/prepared", "data/features", "data/head", "data/again")
    assert contents(tuned / "data/again") == contents(tuned / "data/finetuned")


def test_a_fine_tuned_model_is_evaluated_beside_head_and_baseline(tuned: Path) -> None:
    metrics, details = (
        json.loads((tuned / f"data/evaluation/{name}.json").read_text("utf-8")) for name in ("metrics", "details")
    )
    assert list(metrics) == ["accuracy", "macro_f1", "head", "baseline", "test_rows", "classes"]
    assert details["finetuned_certainty"].keys() >= {"accepted", "set_size", "unfamiliar"}
    assert metrics["accuracy"] == details["finetuned"]["accuracy"] and metrics["head"] == details["head"]["accuracy"]
    shown = run(tuned, sys.executable, "-m", "dvc", "metrics", "show").stdout.splitlines()
    assert len(shown) == 2 and max(map(len, shown)) <= 100
    assert details["finetuned"]["accuracy"] > 0.9 and details["finetuned_ci95"]["roc_auc"]["low"] > 0.5
    table = pq.read_table(tuned / "data/evaluation/predictions.parquet").to_pylist()
    assert {row["model"] for row in table} == {"head", "finetuned", "baseline"}
    assert len(table) == 3 * details["test_rows"]


def test_predict_gives_the_probabilities_of_evaluate_without_params_yaml(tuned: Path, tmp_path: Path) -> None:
    project = copy(tuned, tmp_path / "project")
    (project / "params.yaml").unlink()
    table = pq.read_table(project / "data/evaluation/predictions.parquet").to_pylist()
    wanted = {row["id"]: row for row in table if row["model"] == "finetuned"}
    rows = pq.read_table(project / "data/prepared/test").to_pylist()
    (project / "new.csv").write_text("text\n" + "".join(f"{row['text']}\n" for row in rows) + '""\n', "utf-8")
    stage(project, "predict", "data/finetuned", "new.csv", "out.parquet")
    *out, last = pq.read_table(project / "out.parquet").to_pylist()
    for predicted, row in zip(out, rows, strict=True):
        same = wanted[row["id"]]
        assert predicted["p_good"] == pytest.approx(same["p_good"], abs=1e-6)
        assert (predicted["accepted"], predicted["prediction_set"]) == (same["accepted"], same["prediction_set"])
        assert predicted["unfamiliar"] == pytest.approx(same["unfamiliar"], abs=5)
        assert predicted["predicted"] == ("good" if predicted["p_good"] > 0.5 else "bad")
        assert predicted["rejected"] is None
    assert last["predicted"] is last["unfamiliar"] is None and last["rejected"] == "text is empty"


def test_names_of_labels_are_texts_to_learn_from(trained: Path, verb: Verb) -> None:
    set_params(trained, finetune__method="full", finetune__epochs=1, finetune__contrastive=1.0)
    verb("finetune")
    without = model_card.read(trained / "data/finetuned")
    set_params(trained, finetune__label_names=True)
    verb("finetune")
    described = model_card.read(trained / "data/finetuned")
    assert described is not None and without is not None
    assert described.training["rows"] == without.training["rows"], "names are no rows"
    assert described.training["start"] == without.training["start"]
    assert described.training["epochs"] != without.training["epochs"]


@pytest.fixture
def for_all(trained: Path, verb: Verb) -> Path:
    """A project whose head is fitted on the validation rows too."""
    set_params(trained, finetune__method="full", finetune__epochs=2, train_head__final="all")
    verb("train_head")
    return trained


def test_with_final_all_a_second_network_learns_from_validation_rows_too(for_all: Path, verb: Verb) -> None:
    said, folder = verb("finetune").stdout, for_all / "data/finetuned"
    training = model_card.read_trained(folder).training
    count = training["rows"] + training["validation_rows"]
    assert training["all_rows"] == {"rows": count, "epochs": training["kept_epoch"]} and training["kept_epoch"]
    again = f"trained again on all {count} rows, validation rows too, for {counted(training['kept_epoch'], 'epoch')}"
    assert f"finetune: {again}\n" in said
    verb("evaluate")
    assert f"trained anew on all {count} labelled rows" in (for_all / "data/evaluation/report.html").read_text("utf-8")

    shipped = (folder / "model.safetensors").read_bytes()
    relabel_validation(for_all, lambda label: {"good": "bad", "bad": "good"}[label])
    verb("finetune")
    assert (folder / "model.safetensors").read_bytes() != shipped, "labels of validation rows are learned from"


def test_with_final_all_and_no_better_epoch_the_head_of_all_rows_is_kept(
    for_all: Path, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "no_worse", lambda *_: False)
    said = verb("finetune").stdout
    described = model_card.read_trained(for_all / "data/finetuned")
    assert described.training["kept_epoch"] == 0
    assert f"finetune: the head is that of all {described.training['all_rows']['rows']} rows\n" in said
    layers = [linear_layer.read(for_all / f"data/{model}") for model in ("head", "finetuned")]
    np.testing.assert_allclose(layers[0][0], layers[1][0], rtol=1e-6)


def test_a_run_that_is_killed_in_the_second_training_resumes_there(
    for_all: Path, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_params(for_all, runtime__checkpoint_steps=1)
    verb("finetune")
    whole = contents(for_all / "data/finetuned")
    steps = json.loads(whole["model.json"])["training"]["steps"]

    def end_step(self: Progress, loss: float) -> None:
        counted_step(self, loss)
        taken.append(self.step)
        if len(taken) == steps + 2:
            raise KeyboardInterrupt

    taken: list[int] = []
    counted_step = Progress.end_step
    monkeypatch.setattr(Progress, "end_step", end_step)
    target = ("data/prepared", "data/features", "data/head", "data/again")
    assert stage(for_all, "finetune", *target, check=False).returncode and taken[-1] == 2
    stage(for_all, "finetune", *target)
    assert contents(for_all / "data/again") == whole and taken[steps + 2] == 2, "the first training is not repeated"


@pytest.mark.parametrize("contrastive", [0.0, 1.0])
def test_a_class_of_validation_rows_alone_is_learned_with_final_all(
    trained: Path, verb: Verb, contrastive: float
) -> None:
    set_params(trained, finetune__method="full", finetune__epochs=1, finetune__contrastive=contrastive)
    set_params(trained, train_head__final="all")
    relabel_validation(trained, lambda label: "zeta" if label == "good" else label)
    verb("train_head")
    verb("finetune")
    described = model_card.read_trained(trained / "data/finetuned")
    rows = pq.read_table(trained / "data/prepared/validation")
    P = classifiers.load(trained / "data/finetuned", described, CPU).probabilities(rows["text"].to_pylist())
    is_zeta = np.array(rows["label"]) == "zeta"
    assert described.labels == ("bad", "good", "zeta") and P[is_zeta, 2].mean() > 2 * P[~is_zeta, 2].mean()


def test_with_final_all_a_class_of_one_validation_row_makes_the_model_no_less_sure(
    for_all: Path, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "MIN_CALIBRATION_ROWS", 10)  # there are 18

    def temperature() -> float:
        verb("train_head")
        verb("finetune")
        return model_card.read_trained(for_all / "data/finetuned").validation_temperature

    before, rows = temperature(), itertools.count()
    count = model_card.read_trained(for_all / "data/finetuned").training["validation_rows"]
    relabel_validation(for_all, lambda label: label if next(rows) % count else "zeta")
    assert temperature() == pytest.approx(before, rel=0.2)


def test_few_labels_are_few_for_validation_too(trained: Path, verb: Verb) -> None:
    set_params(trained, finetune__method="full", finetune__epochs=1, budget__per_class=4)
    verb("train_head")
    verb("finetune")
    described = model_card.read(trained / "data/finetuned")
    assert described is not None
    assert (described.training["rows"], described.training["validation_rows"]) == (8, 8)
    assert described.validation_temperature == 1, "too few rows to fit a temperature on"


@pytest.fixture
def unlabelled(trained: Path, verb: Verb) -> Path:
    """A project with 30 rows without a label, and the setting to learn from them."""
    table = trained / "data/reviews.csv"
    lines = table.read_text("utf-8").splitlines()
    rows = [f'"{line.split(",")[0].strip(chr(34))} again {number}",' for number, line in enumerate(lines[1:31])]
    table.write_text("\n".join([*lines, *rows]) + "\n", "utf-8")
    set_params(trained, finetune__method="full", finetune__epochs=1, finetune__unlabelled="pseudo")
    return trained


def learned(project: Path, verb: Verb) -> tuple[str, dict[str, Any]]:
    """Run all stages to finetune: what it says, and its record."""
    for name in ("prepare", "extract", "train_head"):
        verb(name)
    said = verb("finetune").stdout
    return said, json.loads((project / "data/finetuned/model.json").read_text("utf-8"))["training"]


@pytest.mark.parametrize("helps", [True, False])
def test_unlabelled_rows_are_learned_from_where_they_help(
    unlabelled: Path, verb: Verb, monkeypatch: pytest.MonkeyPatch, helps: bool
) -> None:
    record = {"rows": 30, "log_loss": 0.5, "log_loss_without": 0.6, "is_used": helps}
    monkeypatch.setattr(self_training, "_trial", lambda data: dict(record))
    set_params(unlabelled, prepare__validation=0)
    said, training = learned(unlabelled, verb)
    assert training["unlabelled"] == record
    assert f"finetune: learned {'' if helps else 'nothing '}from 30 unlabelled rows: by heads on frozen vectors" in said
    assert len(training["epochs"]) == (3 if helps else 1)


@pytest.mark.parametrize("accuracy", [0.0, 1.0])
def test_validation_rows_say_which_of_both_trainings_is_kept(
    unlabelled: Path, verb: Verb, monkeypatch: pytest.MonkeyPatch, accuracy: float
) -> None:
    def train(classifier: Any, task: Any, validate: Any, **kept: Any) -> Progress:
        progress = trained_by_loop(classifier, task, validate, **kept)
        if task.targets:
            progress.start, progress.kept = {"accuracy": accuracy, "log_loss": 0.0}, 0
        return progress

    trained_by_loop = loop.train
    monkeypatch.setattr(loop, "train", train)
    monkeypatch.setattr(self_training, "_trial", lambda data: {"rows": 30, "is_used": True})
    said, training = learned(unlabelled, verb)
    record = training["unlabelled"]
    without = record["validation_accuracy_without"]
    assert 0 < without <= 1 and record["validation_accuracy"] == accuracy
    assert record["is_used"] == (accuracy == 1) == (len(training["epochs"]) == 3)
    assert f"30 unlabelled rows: validation accuracy is {accuracy:.3f} with them and {without:.3f} without" in said
