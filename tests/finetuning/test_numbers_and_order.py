"""Fine-tuning for numbers and for ordered classes, on a tiny encoder."""

from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
import pytest

from stages.common.params import BudgetParams, FinetuneParams, RuntimeParams
from stages.finetuning import classifier as classifiers
from stages.finetuning import rows, starts, trained_model, trials
from stages.heads import model_card
from stages.heads.model_card import ModelCard
from stages.tables import features
from tests.conftest import Once, copy
from tests.projects import UP_TO_HEAD, Verb, contents, make_project, run_stages, set_params, stage

CPU = RuntimeParams(device="cpu")
TaskName = Literal["ordinal", "regression"]
TASKS: list[TaskName] = ["ordinal", "regression"]
ORDER = ["low", "middle", "high"]


def make_rows(folder: Path, task: TaskName, encoder: Path) -> Path:
    """A project up to a weak head; the number of a text is how often it has `love`, in tens, and its class follows."""
    project = make_project(folder)
    generator = np.random.default_rng(0)
    lines = ["text,label"]
    for number in range(120):
        loves = number % 6
        words = [*generator.choice(["i", "this", "is", "the", "a", "movie"], 9 - loves), *["love"] * loves]
        label = ORDER[loves // 2] if task == "ordinal" else 1000 + 10 * loves
        lines.append(f"{' '.join(generator.permutation(words))} {number},{label}")
    (project / "data/reviews.csv").write_text("\n".join(lines) + "\n", "utf-8")
    set_params(
        project,
        prepare__label="label",
        prepare__task=task,
        prepare__order=ORDER if task == "ordinal" else None,
        backbone__name=str(encoder),
        backbone__revision=None,
        extract__max_length=32,
        runtime__device="cpu",
        train_head__C=[0.01],
        finetune__method="full",
        finetune__epochs=4,
        finetune__learning_rate=1e-3,
        finetune__head_learning_rate=0.05,
    )
    return run_stages(project, *UP_TO_HEAD)


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> TaskName:
    name: TaskName = request.param
    return name


@pytest.fixture
def trained(tmp_path: Path, once: Once, tiny_encoder: Path, task: TaskName) -> Path:
    """A project on the tiny encoder, up to the head; `verb` runs in it."""
    return copy(once(f"made-{task}", partial(make_rows, task=task, encoder=tiny_encoder)), tmp_path / "project")


def card(folder: Path) -> ModelCard:
    content = model_card.read(folder)
    assert content is not None
    return content


def truth(project: Path, split: str) -> tuple[list[Any], np.ndarray]:
    """The texts of a split, and their targets."""
    table = pq.read_table(project / f"data/prepared/{split}")
    return table["text"].to_pylist(), card(project / "data/head").as_task().targets(table["label"].to_pylist())


def outputs(project: Path, model: str, texts: list[Any]) -> np.ndarray:
    folder = project / "data" / model
    return trained_model.load(folder, card(folder), CPU).outputs(texts)


def test_training_starts_from_the_head(trained: Path) -> None:
    described, (texts, _) = card(trained / "data/head"), truth(trained, "test")
    started, layer = starts.from_head(trained / "data/head", described, trained / "data/features", BudgetParams())
    network = classifiers.starting(started, layer, FinetuneParams(method="full"), CPU)
    start, wanted = network.task.outputs(network.scores(texts)), outputs(trained, "head", texts)
    scale = described.numbers.scale if described.numbers else 1
    np.testing.assert_allclose(start / scale, wanted / scale, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", ["full", "last_block", "lora"])
def test_every_method_learns_more_than_the_head(trained: Path, verb: Verb, method: str, task: TaskName) -> None:
    set_params(trained, finetune__method=method)
    said = verb("finetune").stdout
    described = card(trained / "data/finetuned")
    metric = "log_loss" if task == "ordinal" else "root_mean_squared_error"
    assert f"finetune: {method}, " in said and "validation mean absolute error " in said
    assert described.task == task and described.training["kept_epoch"]
    assert set(described.training["epochs"][0]) >= {"loss", metric, "mean_absolute_error"}
    kept = min(entry[metric] for entry in described.training["epochs"])
    assert kept < described.training["start"][metric]
    assert (trained / f"data/finetuned/training/plots/metrics/validation/{metric}.tsv").is_file()
    texts, T = truth(trained, "train")
    head, network = (described.as_task().headline(T, outputs(trained, model, texts)) for model in ("head", "finetuned"))
    assert network[metric] < head[metric]


@pytest.mark.parametrize("preset", ["few_labels", "many_labels"])
def test_presets_train_and_say_what_numbers_cannot_use(trained: Path, verb: Verb, preset: str, task: TaskName) -> None:
    set_params(trained, finetune__method=None, finetune__preset=preset, finetune__epochs=1)
    said = verb("finetune").stdout
    ignored = "finetune: contrastive, label_names, label_smoothing had no say, since numbers have no classes\n"
    assert (ignored in said) == (preset == "few_labels" and task == "regression")
    chosen = card(trained / "data/finetuned").chosen
    assert bool(chosen["contrastive"]) == (preset == "few_labels" and task == "ordinal")
    stage(trained, "finetune", "data/prepared", "data/features", "data/head", "data/again")
    assert contents(trained / "data/again") == contents(trained / "data/finetuned")


def test_predict_takes_the_network(trained: Path, verb: Verb) -> None:
    set_params(trained, finetune__epochs=1)
    verb("finetune")
    verb("predict", "data/finetuned", "data/reviews.csv", "out.parquet")
    table = pq.read_table(trained / "out.parquet")
    network = card(trained / "data/finetuned").as_task()
    wanted = network.predicted(outputs(trained, "finetuned", table["text"].to_pylist()))
    if network.has_classes:
        assert table["predicted"].to_pylist() == wanted.to_pylist()
    else:
        np.testing.assert_allclose(table["predicted"], wanted, rtol=1e-6)
        assert (np.array(table["low"]) < np.array(table["high"])).all()


def test_with_final_all_the_network_knows_all_rows(trained: Path, verb: Verb) -> None:
    set_params(trained, train_head__final="all", finetune__epochs=2)
    verb("train_head")
    verb("finetune")
    head, network = card(trained / "data/head"), card(trained / "data/finetuned")
    assert network.training["start"] and network.training["all_rows"]["epochs"] == network.training["kept_epoch"]
    assert network.numbers == head.numbers, "of all rows, too"


def test_ways_are_compared_by_how_far_they_are_off(trained: Path) -> None:
    described = card(trained / "data/head")
    train = rows.read(trained / "data/prepared", "train", described, BudgetParams())
    none = rows.read(trained / "data/prepared", "validation", described, BudgetParams())
    compared = trials.comparison(train, none)
    assert len(compared.splits) == 3 and compared.judged == len(train.y)
    ways = trials.Trials(compared, features.read(trained / "data/features", "train").X, described, CPU)
    hardly = FinetuneParams(method="full", epochs=1, learning_rate=1e-12)
    values = ways.head_values()
    parts = [ways.finetuned_values(split, hardly) for split in compared.splits]
    assert np.abs(np.concatenate(parts) - values).mean() < 0.05 * values.mean()


@pytest.mark.slow
def test_auto_chooses_by_the_first_metric(trained: Path, verb: Verb) -> None:
    set_params(trained, finetune__method=None, finetune__preset="auto", finetune__learning_rate=1e-3)
    said = verb("finetune").stdout
    training = card(trained / "data/finetuned").training
    assert "finetune: auto takes " in said and "the head has mean absolute error " in said
    head, many, _ = training["auto"]["tried"]
    assert many["gain"] == pytest.approx(head["mean_absolute_error"] - many["mean_absolute_error"], rel=1e-2)
    assert training["auto"]["chosen"] in ("many_labels", "few_labels")
