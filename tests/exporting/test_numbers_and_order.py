"""export of models for numbers and for ordered classes."""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from huggingface_hub import ModelCard

from stages.exporting import checking, front_matter
from stages.heads import model_card
from tests.projects import TFIDF, Verb, run, set_params, stage

ORDER = ["short", "medium", "long"]


def made(project: Path, task: str, **changes: object) -> list[str]:
    """Run the stages up to the head on the demo texts by their number of words, or its class; gives some texts."""
    import pandas as pd

    reviews = pd.read_csv(project / "data/reviews.csv")
    words = reviews["text"].str.split().str.len()
    classes = np.array(ORDER)[np.searchsorted([12, 18], words)]
    reviews["words"] = classes if task == "ordinal" else words + 1_000_000.5
    reviews.to_csv(project / "data/reviews.csv", index=False)
    order = ORDER if task == "ordinal" else None
    set_params(project, **TFIDF, prepare__label="words", prepare__task=task, prepare__order=order, **changes)
    for name in ("prepare", "extract", "train_head"):
        stage(project, name)
    return [*reviews["text"].head(20)]


@pytest.mark.parametrize("task", ["ordinal", "regression"])
def test_the_graph_gives_what_predict_gives(project: Path, verb: Verb, task: str) -> None:
    texts = made(project, task)
    done = verb("export", "data/head", "out")
    assert "export: largest difference from predict on 100 rows: " in done.stdout
    outputs = checking.load(project / "out", "model.onnx").probabilities(texts)
    verb("predict", "data/head", "data/reviews.csv", "out.parquet")
    table = pq.read_table(project / "out.parquet").slice(0, 20)
    if task == "ordinal":
        P = np.stack([table[f"p_{label}"] for label in ORDER], axis=1)
        np.testing.assert_allclose(outputs, P, atol=1e-5)
    else:
        np.testing.assert_allclose(outputs[:, 0], table["predicted"], rtol=0, atol=1e-3)
    said = run(project, sys.executable, "out/run.py", *texts).stdout.splitlines()
    shown = [line.split("\t") for line in said]
    if task == "ordinal":
        assert [line[1] for line in shown] == table["predicted"].to_pylist()
    else:
        np.testing.assert_allclose([float(line[1]) for line in shown], table["predicted"], rtol=1e-5)
        card = json.loads((project / "out/model.json").read_text("utf-8"))
        assert card["thresholds"]["half_width"] == pytest.approx(np.subtract(table["high"], table["predicted"])[0])
    lines = (project / "out/README.md").read_text("utf-8").splitlines()
    wanted = {
        "ordinal": "# A classifier of texts: short, medium, long, from low to high",
        "regression": "# A model that gives every text a number",
    }
    assert wanted[task] in lines


def test_the_hub_is_told_what_numbers_are(project: Path) -> None:
    made(project, "regression")
    trained = model_card.read_trained(project / "data/head")
    metrics = {"mean_absolute_error": 2.0, "r2": 0.51234}
    head = front_matter.written(trained, name="words", metrics=metrics, ends={}, licence=None)
    data = ModelCard(head).data
    assert data.pipeline_tag is None and data.tags is not None and "text-regression" in data.tags
    assert data.eval_results is not None
    assert [(result.metric_type, result.metric_value) for result in data.eval_results] == [
        ("mae", 2.0),
        ("r_squared", 0.5123),
    ]


def test_int8_is_refused(project: Path) -> None:
    made(project, "regression")
    done = stage(project, "export", "data/head", "out", "--int8", check=False)
    assert done.returncode == 1 and done.stderr.strip() == (
        "error: --int8 works for the task single and multilabel only, but prepare.task of these rows is regression;"
        " leave it out, or use --float16"
    )
