"""Fine-tuning where rows have several labels, on a tiny encoder."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from stages.common.params import BudgetParams, FinetuneParams, RuntimeParams
from stages.finetuning import classifier as classifiers
from stages.finetuning import progress, rows, starts, trained_model, trials
from stages.finetuning.progress import Progress
from stages.finetuning.rows import Rows
from stages.heads import loading, model_card
from stages.heads.model_card import ModelCard
from stages.tables import features, label_texts
from tests.conftest import Once, copy
from tests.projects import UP_TO_HEAD, Verb, contents, make_project, relabel_validation, run_stages, set_params, stage

CPU = RuntimeParams(device="cpu")
LABELS = ("film", "liked", "odd")


def make_several(folder: Path, encoder: Path) -> Path:
    """A project up to the head; labels follow two words, the third label is that just one of the others applies."""
    project = make_project(folder)
    generator = np.random.default_rng(0)
    lines = ["text,film,liked,odd"]
    for number in range(160):
        film, liked = number % 2, number // 2 % 2
        words = [*generator.choice(["i", "this", "is", "the", "a"], 8), "movie" if film else "product"]
        words.append("love" if liked else "hate")
        lines.append(f"{' '.join(generator.permutation(words))} {number},{film},{liked},{int(film != liked)}")
    (project / "data/reviews.csv").write_text("\n".join(lines) + "\n", "utf-8")
    set_params(
        project,
        prepare__label=["film", "liked", "odd"],
        backbone__name=str(encoder),
        backbone__revision=None,
        extract__max_length=32,
        runtime__device="cpu",
        finetune__method="full",
        finetune__epochs=4,
        finetune__learning_rate=2e-3,
    )
    return run_stages(project, *UP_TO_HEAD)


@pytest.fixture
def trained(tmp_path: Path, once: Once, tiny_encoder: Path) -> Path:
    """A project on the tiny encoder, up to the head; `verb` runs in it."""
    return copy(once("several", partial(make_several, encoder=tiny_encoder)), tmp_path / "project")


def card(folder: Path) -> ModelCard:
    content = model_card.read(folder)
    assert content is not None
    return content


def texts(project: Path, split: str) -> list[Any]:
    content: list[Any] = pq.read_table(project / f"data/prepared/{split}")["text"].to_pylist()
    return content


@pytest.mark.parametrize("kind", ["logistic", "ridge", "knn"])
def test_training_starts_from_the_head(trained: Path, verb: Verb, kind: str) -> None:
    set_params(trained, train_head__kind=kind)
    verb("train_head")
    head, described = trained / "data/head", card(trained / "data/head")
    test = features.read(trained / "data/features", "test")
    started, layer = starts.from_head(head, described, trained / "data/features", BudgetParams())
    classifier = classifiers.pretrained(started, CPU)
    classifier.start_from(*layer)
    start = classifier.task.outputs(classifier.scores(texts(trained, "test")))
    wanted = loading.load(head, described, test.X.shape[1])(test.X)
    if kind == "knn":  # a logistic stand-in with thresholds of its own
        assert started.decisions and described.decisions
        assert started.decisions.thresholds != described.decisions.thresholds
    else:
        np.testing.assert_allclose(start, wanted, atol=1e-3)


@pytest.mark.parametrize("method", ["full", "last_block", "lora"])
def test_every_method_learns_what_the_head_cannot(trained: Path, verb: Verb, method: str) -> None:
    set_params(trained, finetune__method=method)
    said = verb("finetune").stdout
    described = card(trained / "data/finetuned")
    assert f"finetune: {method}, " in said and described.task == "multilabel" and described.labels == LABELS
    training = described.training
    assert training["kept_epoch"] and set(training["epochs"][0]) >= {"loss", "accuracy", "log_loss"}
    assert training["start"].keys() >= {"accuracy", "log_loss", "macro_f1"}
    model = trained_model.load(trained / "data/finetuned", described, CPU)
    table = pq.read_table(trained / "data/prepared/train")
    Y = model.task.targets(table["label"].to_pylist())
    head = loading.load(trained / "data/head", card(trained / "data/head"), 32)
    before, after = head(features.read(trained / "data/features", "train").X), model.outputs(table["text"].to_pylist())
    assert (
        model.task.headline(Y, after)["log_loss"]
        < card(trained / "data/head").as_task().headline(Y, before)["log_loss"]
    )


@pytest.mark.parametrize("preset", ["few_labels", "many_labels"])
def test_a_killed_run_of_a_preset_resumes_to_the_same_bytes(
    trained: Path, verb: Verb, monkeypatch: pytest.MonkeyPatch, preset: str
) -> None:
    set_params(trained, finetune__method=None, finetune__preset=preset, finetune__epochs=1, runtime__checkpoint_steps=2)
    verb("finetune")
    whole = contents(trained / "data/finetuned")

    def end_step(self: Progress, loss: float) -> None:
        counted(self, loss)
        if self.step == 3:
            raise KeyboardInterrupt

    counted = Progress.end_step
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "end_step", end_step)
        done = stage(trained, "finetune", "data/prepared", "data/features", "data/head", "data/again", check=False)
        assert done.returncode and not (trained / "data/again").exists()
    done = stage(trained, "finetune", "data/prepared", "data/features", "data/head", "data/again")
    assert "finetune: resuming the killed run at step 2\n" in done.stderr
    assert contents(trained / "data/again") == whole


def test_predict_gives_labels_by_thresholds(trained: Path, verb: Verb) -> None:
    verb("finetune")
    verb("predict", "data/finetuned", "data/reviews.csv", "out.parquet")
    decisions = card(trained / "data/finetuned").decisions
    assert decisions is not None
    for row in pq.read_table(trained / "out.parquet").to_pylist():
        limits = zip(LABELS, decisions.thresholds, strict=True)
        assert row["predicted"] == [label for label, limit in limits if row[f"p_{label}"] >= limit]


@pytest.mark.parametrize("C", [[1.0], [1.0, 10.0]])
def test_a_threshold_that_is_set_is_that_of_head_and_network(trained: Path, verb: Verb, C: list[float]) -> None:
    set_params(trained, train_head__threshold=0.3, train_head__C=C, finetune__epochs=1)
    verb("train_head")
    verb("finetune")
    for folder in ("head", "finetuned"):
        decisions = card(trained / "data" / folder).decisions
        assert decisions is not None and decisions.thresholds == (0.3,) * 3


def test_a_network_that_is_the_head_decides_as_the_head(
    trained: Path, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_params(trained, finetune__epochs=1)
    monkeypatch.setattr(progress, "no_worse", lambda *_: False)
    assert "and a higher loss after 1 epoch: the head and the pretrained weights are kept" in verb("finetune").stdout
    head, network = card(trained / "data/head"), card(trained / "data/finetuned")
    assert network.training["kept_epoch"] == 0 and head.decisions and network.decisions
    np.testing.assert_allclose(network.decisions.thresholds, head.decisions.thresholds, atol=1e-3)


def test_labels_of_validation_rows_alone_are_learned_with_final_all(trained: Path, verb: Verb) -> None:
    set_params(trained, train_head__final="all", finetune__contrastive=1.0, finetune__epochs=1)
    relabel_validation(trained, lambda label: label_texts.from_names([*label_texts.names(label), "zeta"]))
    verb("train_head")
    assert card(trained / "data/head").labels == (*LABELS, "zeta")
    verb("finetune")
    described = card(trained / "data/finetuned")
    P = trained_model.load(trained / "data/finetuned", described, CPU).probabilities(texts(trained, "validation"))
    assert described.labels == (*LABELS, "zeta") and P[:, 3].mean() > 0.1


def test_unlabelled_rows_are_refused(trained: Path, verb: Verb) -> None:
    set_params(trained, finetune__unlabelled="pseudo")
    done = verb("finetune", check=False)
    assert done.returncode == 1 and done.stderr.strip() == (
        "error: learning from unlabelled rows works for the task single only, but prepare.task of these rows is"
        " multilabel; set finetune.unlabelled to null"
    )
    assert not (trained / "data/finetuned").exists()


def test_ways_are_compared_by_rows_with_all_labels_right(trained: Path) -> None:
    described = card(trained / "data/head")
    train = rows.read(trained / "data/prepared", "train", described, BudgetParams())
    held_out = rows.read(trained / "data/prepared", "test", described, BudgetParams())
    compared = trials.comparison(train, held_out)
    X = features.read(trained / "data/features", "train").X
    ways = trials.Trials(compared, X, described, CPU)
    right = ways.head_values()
    assert right.shape == (len(train.y),) and 0.3 < right.mean() < 1
    hardly = FinetuneParams(method="full", epochs=1, learning_rate=1e-12, label_names=True)
    parts = [ways.finetuned_values(split, hardly) for split in compared.splits]
    # Vectors of the head are of half precision, so a probability may be on the other side of a threshold.
    assert (np.concatenate(parts) != right).mean() < 0.02, "a network decides by the thresholds of the head"


def test_the_budget_counts_every_label_and_unknown_labels_count_for_nothing(trained: Path) -> None:
    described = card(trained / "data/head")
    some: Rows = rows.read(trained / "data/prepared", "train", described, BudgetParams(per_class=4))
    assert len(some.inputs) <= 16 and (some.y.sum(axis=0) >= 4).all() and (~some.y.any(axis=1)).sum() >= 4
    film = rows.read(
        trained / "data/prepared", "train", described.model_copy(update={"labels": ("film",)}), BudgetParams()
    )
    every = rows.read(trained / "data/prepared", "train", described, BudgetParams())
    np.testing.assert_array_equal(film.y[:, 0], every.y[:, 0])
    assert film.digest != every.digest


def test_names_of_labels_are_texts_with_that_label_alone() -> None:
    Y = np.array([[True, True, False]])
    inputs, targets = rows.with_label_names(["a text"], Y, ("a_film", "liked", "odd"), combine="join")
    assert inputs == ["a text", "a film", "liked", "odd"]
    np.testing.assert_array_equal(targets, np.concatenate([Y, np.eye(3, dtype=bool)]))
