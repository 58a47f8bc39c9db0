"""`finetune.preset: auto` as a stage, on a tiny encoder."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from stages.finetuning import choice, trials
from stages.finetuning.choice import Choice
from stages.heads.folds import Fold
from tests.projects import TFIDF, UP_TO_HEAD, Verb, contents, set_params


def card(project: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((project / "data/finetuned/model.json").read_text("utf-8"))
    return content


@pytest.fixture
def auto(trained: Path) -> Path:
    """A project whose head is perfect, so that nothing beats it; without the test rows."""
    set_params(trained, finetune__preset="auto", finetune__epochs=1)
    return trained


def test_auto_keeps_the_head_where_nothing_beats_it_and_never_reads_the_test_rows(auto: Path, verb: Verb) -> None:
    for name in ("prepared", "features"):
        shutil.move(auto / f"data/{name}/test", auto / f"{name}-test")
    (line,) = verb("finetune").stdout.splitlines()
    assert line.startswith("finetune: auto keeps the head, which has accuracy 1.000 on 101 training rows in 3 folds; ")
    first = contents(auto / "data/finetuned")
    assert first.keys() == {"model.json"}
    assert card(auto)["method"] == "none" and card(auto)["auto"]["chosen"] == "none"
    assert [score["preset"] for score in card(auto)["auto"]["tried"]] == ["none", "many_labels", "few_labels"]
    assert all("standard_error" in score for score in card(auto)["auto"]["tried"])

    verb("finetune")
    assert contents(auto / "data/finetuned") == first
    for name in ("prepared", "features"):
        shutil.move(auto / f"{name}-test", auto / f"data/{name}/test")
    verb("evaluate")
    details = json.loads((auto / "data/evaluation/details.json").read_text("utf-8"))
    assert "head" in details and "finetuned" not in details


def test_what_auto_takes_is_trained_as_the_preset_of_that_name(
    auto: Path, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = Choice("few_labels", "auto takes few_labels, for a test", {"chosen": "few_labels"})
    monkeypatch.setattr(choice, "choose", lambda *_: taken)
    first, second, _ = verb("finetune").stdout.splitlines()
    assert first == "finetune: auto takes few_labels, for a test"
    assert second.startswith("finetune: preset few_labels: method full, contrastive 1.0")
    chosen = contents(auto / "data/finetuned")
    assert card(auto)["training"].pop("auto") == {"chosen": "few_labels"}

    set_params(auto, finetune__preset="few_labels")
    verb("finetune")
    named = contents(auto / "data/finetuned")
    for content in (chosen, named):
        model = json.loads(content["model.json"])
        model["training"].pop("auto", None)
        content["model.json"] = json.dumps(model).encode()
    assert chosen == named


def test_a_killed_run_goes_on_with_the_next_trial(auto: Path, verb: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []

    def counted(self: trials.Trials, split: Fold, recipe: Any) -> Any:
        done.append((recipe.contrastive, split.held_out[0]))
        if len(done) == limit:
            raise KeyboardInterrupt
        return trained(self, split, recipe)

    trained, limit = trials.Trials.finetuned_values, 5
    monkeypatch.setattr(trials.Trials, "finetuned_values", counted)
    assert verb("finetune", check=False).returncode
    interrupted, limit = list(done), 0
    assert not (auto / "data/finetuned").exists()
    done.clear()
    verb("finetune")
    assert done[0] == interrupted[-1] and len(done) == 2, "three trials of many_labels and one of few_labels were kept"
    done.clear()
    verb("finetune")
    assert len(done) == 6, "a run that ended leaves nothing"


def test_a_backbone_without_weights_keeps_the_head(project: Path, verb: Verb) -> None:
    set_params(project, **TFIDF, finetune__preset="auto")
    for name in UP_TO_HEAD:
        verb(name)
    line = verb("finetune").stdout
    assert line.startswith("finetune: auto keeps the head: backbone.family tfidf has no weights to train, in ")
    assert card(project)["auto"]["chosen"] == "none"


def test_auto_tries_nothing_that_exceeds_its_budget(auto: Path, verb: Verb) -> None:
    set_params(auto, finetune__budget_minutes=1e-6)
    line = verb("finetune").stdout
    assert "many_labels was left out: about " in line and "few_labels was left out" in line
    assert "finetune.budget_minutes is 1e-06" in line
    assert [score.get("accuracy") for score in card(auto)["auto"]["tried"]] == [None] * 3


def test_auto_says_that_a_method_of_none_was_set(auto: Path, verb: Verb) -> None:
    set_params(auto, finetune__method="none")
    assert "finetune: preset auto had no say, since finetune.method is none" in verb("finetune").stdout


def test_auto_does_not_choose_in_several_processes(auto: Path, verb: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = verb("finetune", check=False)
    assert done.returncode == 1 and "which chooses in one process" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["knn", "mlp"])
def test_auto_takes_what_beats_the_head_and_evaluate_agrees(trained: Path, verb: Verb, kind: str) -> None:
    set_params(trained, train_head__kind=kind, train_head__neighbors=[1], evaluate__learning_curve=[])
    set_params(trained, finetune__preset="auto", finetune__contrastive=0.0)
    verb("train_head")
    line = verb("finetune").stdout.splitlines()[0]
    record = card(trained).get("auto") or card(trained)["training"]["auto"]
    if kind == "knn":  # is lost among random words
        assert f"auto takes {record['chosen']}, by 101 training rows in 3 folds: the head has " in line
        (taken,) = (trial for trial in record["tried"] if trial["preset"] == record["chosen"])
        assert card(trained)["method"] == "full" and taken["gain_ci95"]["low"] > 0
    if kind == "knn":
        first = contents(trained / "data/finetuned")
        verb("finetune")
        assert contents(trained / "data/finetuned") == first
    verb("evaluate")
    details = json.loads((trained / "data/evaluation/details.json").read_text("utf-8"))
    assert ("finetuned" in details) == (record["chosen"] != "none")
    if kind == "knn":
        assert details["finetuned"]["accuracy"] > details["head"]["accuracy"]
