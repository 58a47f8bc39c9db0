"""Heads of ordered classes and of numbers, from the raw table to predictions of new rows."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.common.errors import HeadstartError
from stages.common.params import (
    BackboneParams,
    BudgetParams,
    ExtractSection,
    RuntimeParams,
    TrainHeadParams,
)
from stages.common.predict_params import PredictParams
from stages.extract import extract
from stages.heads import certainty_file, linear_layer, loading, model_card
from stages.predict import predict
from stages.prepare import prepare
from stages.tables import features
from stages.train_head import train_head
from tests.tables_of_text import settings

TASKS = ("ordinal", "regression")
ORDER = ("low", "middle", "high")  # not in the order of their names
Printed = pytest.CaptureFixture[str]
RUNTIME = RuntimeParams(row_cache=False)


def make_rows(count: int, seed: int) -> pd.DataFrame:
    """Texts of ten words; the label is twenty times the number of good ones, and the class follows from it."""
    generator = np.random.default_rng(seed)
    good = generator.integers(0, 11, count)
    fillers = generator.integers(0, 40, (count, 2))
    texts = [
        " ".join(["good"] * n + ["bad"] * (10 - n) + [f"one{one}", f"other{other}"])
        for n, (one, other) in zip(good, fillers, strict=True)
    ]
    return pd.DataFrame(
        {
            "text": texts,
            "regression": 20.0 * good + generator.normal(size=count),
            "ordinal": [ORDER[min(n // 4, 2)] for n in good],
        }
    )


def train(folder: Path, task: str, name: str = "head", **changes: object) -> Path:
    head = TrainHeadParams.model_validate(changes)
    train_head(
        features_folder=folder / task / "features", target=folder / task / name, budget=BudgetParams(), settings=head
    )
    return folder / task / name


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each of the tasks, with prepared rows, vectors and a head; and a table of new rows."""
    folder = tmp_path_factory.mktemp("tasks")
    make_rows(500, 0).to_csv(folder / "rows.csv", index=False)
    make_rows(200, 1).to_csv(folder / "new.csv", index=False)
    for task in TASKS:
        order = ORDER if task == "ordinal" else None
        prepare(folder / task / "prepared", settings(folder / "rows.csv", label=task, task=task, order=order))
        extract(
            prepared_folder=folder / task / "prepared",
            target=folder / task / "features",
            spec=BackboneParams(family="tfidf", name="word"),
            settings=ExtractSection(),
            runtime=RUNTIME,
        )
        train(folder, task)
    return folder


def predicted(model: Path, new: Path, out: Path, **settings: float) -> pd.DataFrame:
    predict(folder=model, new=new, target=out, runtime=RUNTIME, settings=PredictParams.model_validate(settings))
    return pd.read_json(out, lines=True)


def test_a_head_of_numbers_predicts_them_in_the_units_of_the_table(trained: Path, tmp_path: Path) -> None:
    rows = predicted(trained / "regression/head", trained / "new.csv", tmp_path / "out.jsonl")
    error = (rows["predicted"] - rows["regression"]).abs()
    assert error.mean() < 10, "their standard deviation is 63"
    assert [*rows.columns][-5:] == ["predicted", "unfamiliar", "low", "high", "rejected"] and rows[
        "rejected"
    ].isna().all()
    card = json.loads((trained / "regression/head/model.json").read_text("utf-8"))
    assert card["numbers"]["mean"] == pytest.approx(100, abs=10) and card["chosen"]["kind"] == "ridge"
    assert card["labels"] == [] and "per_class" not in card["training"]


def test_intervals_hold_the_true_number_as_often_as_asked(trained: Path, tmp_path: Path) -> None:
    for coverage, low, high in ((0.9, 0.83, 0.96), (0.5, 0.4, 0.6)):
        rows = predicted(trained / "regression/head", trained / "new.csv", tmp_path / "out.jsonl", coverage=coverage)
        held = (rows["low"] <= rows["regression"]) & (rows["regression"] <= rows["high"])
        assert low < held.mean() < high
        np.testing.assert_allclose((rows["low"] + rows["high"]) / 2, rows["predicted"])


def test_too_few_held_out_rows_give_no_interval(trained: Path, tmp_path: Path, capsys: Printed) -> None:
    rows = predicted(trained / "regression/head", trained / "new.csv", tmp_path / "out.jsonl", coverage=0.9999)
    assert rows["low"].isna().all() and rows["high"].isna().all() and rows["predicted"].notna().all()
    assert "there are no intervals, as predict.coverage 0.9999 needs 9999 rows" in capsys.readouterr().out


def test_a_model_without_held_out_rows_has_no_interval(trained: Path, tmp_path: Path) -> None:
    model = shutil.copytree(trained / "regression/head", tmp_path / "head")
    (model / certainty_file.FILE).unlink()
    rows = predicted(model, trained / "new.csv", tmp_path / "out.jsonl")
    assert [*rows.columns][-4:] == ["predicted", "low", "high", "rejected"] and rows["low"].isna().all()


def test_numbers_say_that_their_head_is_ridge(trained: Path, capsys: Printed) -> None:
    train(trained, "regression", "said")
    printed = capsys.readouterr().out
    assert "train_head: ridge, C = " in printed and "root mean squared error" in printed
    assert "of numbers, train_head.kind logistic is ridge regression" in printed
    train(trained, "regression", "said", kind="ridge")
    assert "of numbers" not in capsys.readouterr().out


def test_an_ordered_head_knows_its_order(trained: Path, tmp_path: Path) -> None:
    head = trained / "ordinal/head"
    card = model_card.read_head(head)
    assert card.labels == ORDER and card.temperature != 1
    layer = linear_layer.read(head)
    assert layer is not None and len(layer[0]) == 2 and (layer[0][0] == layer[0][1]).all() and layer[1][0] > layer[1][1]
    rows = predicted(head, trained / "new.csv", tmp_path / "out.jsonl")
    steps = (rows["predicted"].map(ORDER.index) - rows["ordinal"].map(ORDER.index)).abs()
    assert steps.mean() < 0.15 and steps.max() == 1
    np.testing.assert_allclose(rows[[f"p_{label}" for label in ORDER]].sum(axis=1), 1, atol=1e-5)
    assert rows["accepted"].any() and all(rows["prediction_set"].str.len() >= 0)


def test_ordered_classes_have_an_explanation(trained: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.csv"
    pd.DataFrame({"text": ["good good good good bad"]}).to_csv(new, index=False)
    predict(folder=trained / "ordinal/head", new=new, target=tmp_path / "out.jsonl", runtime=RUNTIME, explain=True)
    row = json.loads((tmp_path / "out.jsonl").read_text("utf-8"))
    explanation = json.loads(row["explanation"]) if isinstance(row["explanation"], str) else row["explanation"]
    assert explanation["output"] == pytest.approx(row[f"p_{row['predicted']}"], abs=1e-4)


@pytest.mark.parametrize("task", TASKS)
def test_the_same_rows_give_the_same_bytes(trained: Path, task: str) -> None:
    again = train(trained, task, "again")
    for path in (trained / task / "head").iterdir():
        assert path.is_dir() or path.read_bytes() == (again / path.name).read_bytes(), path.name


@pytest.mark.parametrize("task", TASKS)
def test_a_head_on_all_rows_has_held_out_rows_of_other_folds(trained: Path, task: str) -> None:
    head = train(trained, task, "all", final="all", C=[1.0])
    held_out = certainty_file.read(head).held_out
    assert held_out is not None and held_out.source == "out-of-fold"
    assert model_card.read_head(head).training["splits"] == ["train", "validation"]


@pytest.mark.parametrize(
    ("task", "changes", "words"),
    [
        (
            "ordinal",
            {"kind": "knn"},
            "train_head.kind is knn, but a head for prepare.task ordinal is logistic; set it to",
        ),
        ("regression", {"kind": "mlp"}, "prepare.task regression is logistic or ridge; set it to ridge"),
        ("regression", {"class_weight": "balanced"}, "numbers have no classes; set it to null"),
        ("regression", {"unlabelled": "propagate"}, "set train_head.unlabelled to null"),
    ],
)
def test_settings_without_meaning_are_refused(trained: Path, task: str, changes: dict[str, object], words: str) -> None:
    with pytest.raises(HeadstartError, match=words):
        train(trained, task, "refused", **changes)
    assert not (trained / task / "refused").exists()


@pytest.mark.parametrize("task", TASKS)
def test_a_lost_layer_is_one_sentence(trained: Path, tmp_path: Path, task: str) -> None:
    model = shutil.copytree(trained / task / "head", tmp_path / "head")
    (model / linear_layer.FILE).unlink()
    with pytest.raises(HeadstartError, match=r"linear.safetensors does not exist; run `dvc repro train_head`"):
        loading.load(model, model_card.read_head(model), features.read_metadata(trained / task / "features/train").dim)
