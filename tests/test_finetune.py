"""Fine-tuning as a stage, on a tiny encoder."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from stages.common.params import RuntimeParams
from stages.finetuning import classifier as classifiers
from stages.heads import loading, model_card
from stages.tables import features
from tests.projects import Verb, contents, set_params

CPU = RuntimeParams(device="cpu")


@pytest.mark.parametrize("kind", ["logistic", "ridge", "mlp"])
def test_step_0_of_fine_tuning_equals_the_head(trained: Path, verb: Verb, kind: str) -> None:
    from stages.common.params import BudgetParams
    from stages.finetune import _linear_layer

    set_params(trained, train_head__kind=kind)
    verb("train_head")
    head = trained / "data/head"
    described = model_card.read(head)
    assert described is not None
    test = features.read(trained / "data/features", "test")
    texts = pq.read_table(trained / "data/prepared/test")["text"].to_pylist()
    classifier = classifiers.pretrained(described, CPU)
    classifier.start_from(*_linear_layer(trained / "data/features", head, BudgetParams()))
    start = classifier.probabilities(texts)
    wanted = loading.load(head, described, test.X.shape[1])(test.X)
    if kind == "mlp":  # a logistic stand-in: the same decisions, not the same numbers
        assert (start.argmax(axis=1) == wanted.argmax(axis=1)).mean() > 0.8
    else:
        np.testing.assert_allclose(start, wanted, atol=1e-3)


def test_fine_tuning_learns_is_repeatable_and_is_evaluated_and_predicted(trained: Path, verb: Verb) -> None:
    assert verb("finetune").stdout.startswith("finetune: method none, nothing to train, in ")
    assert json.loads((trained / "data/finetuned/model.json").read_text("utf-8")) == {"method": "none"}
    assert [path.name for path in (trained / "data/finetuned").iterdir()] == ["model.json"]
    verb("evaluate")
    report = json.loads((trained / "data/evaluation/metrics.json").read_text("utf-8"))
    assert "head" in report and "finetuned" not in report

    set_params(trained, finetune__method="full")
    verb("finetune")
    files = contents(trained / "data/finetuned")
    assert {"model.safetensors", "config.json", "tokenizer.json", "model.json"} <= files.keys()
    assert str(trained).encode() not in b"".join(files.values()), "no path of this machine in an artifact"
    training = json.loads(files["model.json"])["training"]
    best = training["epochs"][training["kept_epoch"] - 1]
    assert training["kept_epoch"] and best["log_loss"] < training["start"]["log_loss"]
    verb("finetune")
    assert files == contents(trained / "data/finetuned")

    verb("evaluate")
    report = json.loads((trained / "data/evaluation/metrics.json").read_text("utf-8"))
    assert report["finetuned"]["accuracy"] > 0.9 and report["finetuned_ci95"]["roc_auc"]["low"] > 0.5
    table = pq.read_table(trained / "data/evaluation/predictions.parquet").to_pylist()
    assert {row["model"] for row in table} == {"head", "finetuned", "baseline"}
    assert len(table) == 3 * report["test_rows"]
    tuned = {row["id"]: row["p_good"] for row in table if row["model"] == "finetuned"}

    (trained / "params.yaml").unlink()
    rows = pq.read_table(trained / "data/prepared/test").to_pylist()
    text = "text\n" + "".join(f"{row['text']}\n" for row in rows) + '""\n'
    (trained / "new.csv").write_text(text, "utf-8")
    verb("predict", "data/finetuned", "new.csv", "out.parquet")
    out = pq.read_table(trained / "out.parquet").to_pylist()
    assert len(out) == len(rows) + 1
    for row, given in zip(out, rows, strict=False):
        assert row["p_good"] == pytest.approx(tuned[given["id"]], abs=1e-6)
        assert row["predicted"] == ("good" if row["p_good"] > 0.5 else "bad") and row["rejected"] is None
    assert out[-1]["predicted"] is None and out[-1]["rejected"] == "text is empty"


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


def test_few_labels_are_few_for_validation_too(trained: Path, verb: Verb) -> None:
    set_params(trained, finetune__method="full", finetune__epochs=1, budget__per_class=4)
    verb("train_head")
    verb("finetune")
    described = model_card.read(trained / "data/finetuned")
    assert described is not None
    assert (described.training["rows"], described.training["validation_rows"]) == (8, 8)
    assert described.validation_temperature == 1, "too few rows to fit a temperature on"
