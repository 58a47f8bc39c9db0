"""`finetune.preset: auto`: what is compared, what the budget allows, and what is taken."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages import backbones
from stages.common.params import FinetuneParams, RuntimeParams
from stages.finetuning import choice, trials
from stages.finetuning.choice import Candidate
from stages.finetuning.cost import Cost
from stages.finetuning.rows import Rows
from stages.heads.folds import Fold
from tests.finetuning.recipes import SMALL, spec, texts


def rows(y: list[int], groups: list[str | None] | None = None) -> Rows:
    return Rows([f"text {row}" for row in range(len(y))], np.array(y), groups or [None] * len(y), "digest")


def test_many_validation_rows_are_judged_on() -> None:
    compared = trials.comparison(rows([0, 1] * 4), rows([0, 1] * 50))
    (split,) = compared.splits
    assert split.training.tolist() == list(range(8)) and split.held_out.tolist() == list(range(8, 108))
    assert compared.rows.inputs[8] == "text 0" and compared.name == "100 validation rows"


def test_with_few_validation_rows_every_training_row_is_judged_on_once() -> None:
    compared = trials.comparison(rows([0, 1, 1] * 5), rows([0, 1]))
    assert compared.name == "15 training rows in 3 folds" and len(compared.rows.y) == 15
    assert sorted(np.concatenate([split.held_out for split in compared.splits])) == list(range(15))
    for split in compared.splits:
        assert not set(split.training) & set(split.held_out)
        assert set(compared.rows.y[split.training]) == {0, 1}


def test_folds_keep_groups_together() -> None:
    groups: list[str | None] = [f"author {row // 4}" for row in range(24)]
    groups[0] = None
    for split in trials.comparison(rows([0, 1] * 12, groups), rows([])).splits:
        assert not {groups[row] for row in split.training} & {groups[row] for row in split.held_out}


def test_the_only_row_of_a_class_is_trained_on_but_not_judged_on() -> None:
    splits = trials.comparison(rows([0, 1] * 6 + [2]), rows([])).splits
    assert 12 not in np.concatenate([split.held_out for split in splits])
    assert sum(12 in split.training for split in splits) == 2


@pytest.mark.parametrize("y", [[0, 1, 2], [0, 1], [0, 0, 0, 0]])
def test_too_few_rows_are_not_compared(y: list[int]) -> None:
    assert trials.comparison(rows(y), rows([])).splits == ()


def decided(**right: int | str) -> choice.Choice:
    """The choice where the head gets 100 of 200 rows right, and each candidate these and as many more."""
    candidates = []
    for preset in choice.CANDIDATES:
        value = right[preset]
        candidate = Candidate(preset, FinetuneParams(method="full"), trial=1.0, final=0.5)
        if isinstance(value, str):
            candidate.remark = value
        else:
            candidate.values = np.arange(200) < 100 + value
        candidates.append(candidate)
    tried = any(candidate.values is not None for candidate in candidates)
    return choice._decide(candidates, np.arange(200) < 100 if tried else None, "accuracy", "200 rows", 30)


@pytest.mark.parametrize(
    ("right", "preset"),
    [
        ({"many_labels": 20, "few_labels": 30}, "few_labels"),
        ({"many_labels": 30, "few_labels": 20}, "many_labels"),
        ({"many_labels": 30, "few_labels": 30}, "many_labels"),  # the cheaper
        ({"many_labels": 3, "few_labels": 3}, "none"),  # p = 0.08
        ({"many_labels": 4, "few_labels": 3}, "many_labels"),  # p = 0.046
        ({"many_labels": -50, "few_labels": -20}, "none"),
        ({"many_labels": "diverged", "few_labels": 30}, "few_labels"),
        ({"many_labels": "too dear", "few_labels": "too dear"}, "none"),
    ],
)
def test_the_most_accurate_preset_is_taken_if_it_beats_the_head_beyond_chance(
    right: dict[str, int | str], preset: str
) -> None:
    assert decided(**right).preset == preset


def test_the_record_has_scores_with_their_noise_and_why() -> None:
    chosen = decided(many_labels=40, few_labels="it diverged")
    head, many, few = chosen.record["tried"]
    assert head == {"preset": "none", "accuracy": 0.5, "standard_error": 0.0354}
    assert (many["accuracy"], many["gain"], many["estimated_minutes"]) == (0.7, 0.2, 1.5)
    assert 0.14 < many["gain_ci95"]["low"] < 0.2 < many["gain_ci95"]["high"] < 0.27
    assert few == {"preset": "few_labels", "estimated_minutes": 1.5, "not_tried": "it diverged"}
    assert chosen.record["chosen"] == "many_labels" and chosen.record["judged_on"] == "200 rows"
    assert chosen.reason == chosen.record["reason"]
    assert chosen.reason.startswith(
        "auto takes many_labels, by 200 rows: the head has accuracy 0.500; many_labels +0.200"
    )
    assert chosen.reason.endswith("; few_labels was left out: it diverged")


def test_values_that_are_set_hold_for_every_candidate() -> None:
    settings = FinetuneParams.model_validate({"preset": "auto", "method": "lora", "epochs": 2, "min_steps": None})
    for preset in choice.CANDIDATES:
        recipe = settings.with_preset(preset)
        assert (recipe.method, recipe.epochs, recipe.min_steps) == ("lora", 2, 48 if preset == "few_labels" else 0)


@pytest.fixture
def cost(tiny_encoder: Path) -> Cost:
    encoder = backbones.load_encoder(spec("text", tiny_encoder), SMALL["text"], RuntimeParams(device="cpu"), "text")
    return Cost(encoder, texts(40)[0])


def test_the_estimate_grows_with_rows_and_epochs_and_draws_no_random_numbers(tiny_encoder: Path, cost: Cost) -> None:
    full, few = FinetuneParams(method="full"), FinetuneParams(preset="few_labels")
    every, half = np.arange(40), np.arange(20)
    assert 0 < cost.training(half, full) < cost.training(every, full)
    assert cost.training(every, full) == pytest.approx(8 * 3 * cost.encoding(every))
    assert cost.training(every, few) == pytest.approx(6 * 5 * cost.encoding(every))
    # Two layers of four matrices of 32 x 32 and two of 32 x 64, for the rows' words and two marks.
    words = sum(len(text.split()) + 2 for text in texts(40)[0])
    assert cost.encoding(every) == pytest.approx(words * 2 * 2 * 8192 / 5e10 / 60, rel=0.2)


def test_the_budget_leaves_out_what_is_too_dear(cost: Cost) -> None:
    compared = trials.comparison(rows([0, 1] * 20), rows([]))
    recipes = {preset: FinetuneParams(preset=preset) for preset in choice.CANDIDATES}

    def tried(minutes: float, again: int = 0) -> list[str]:
        candidates = choice._candidates(recipes, cost, compared, trained=40, again=again)
        assert [candidate.preset for candidate in candidates] == ["many_labels", "few_labels"]
        choice._keep_to(minutes, candidates, spent=0.0)
        assert all("minutes in all" in candidate.remark for candidate in candidates if candidate.remark)
        return [candidate.preset for candidate in candidates if not candidate.remark]

    one = 60 * cost.encoding(np.arange(40))  # many_labels: 8 x 3 passes, twice for the folds and once for all rows
    assert tried(0.5 * one) == []
    assert tried(1.5 * one) == ["many_labels"]
    assert tried(1.5 * one, again=50) == [], "with final all, once more for these and ten validation rows"
    assert tried(10 * one) == ["many_labels", "few_labels"]


def test_a_finished_trial_is_not_repeated_and_a_damaged_result_is(tmp_path: Path) -> None:
    calls = []

    def trial() -> np.ndarray:
        calls.append(1)
        return np.array([True, False, True])

    for _ in range(2):
        assert choice._kept(tmp_path / "a.json", 3, trial).tolist() == [1, 0, 1]
    assert len(calls) == 1
    for damage in (
        "",
        "{",
        "[1]",
        '{"values": 3}',
        '{"values": [1, 0]}',
        '{"values": [1, 0, "a"]}',
        '{"values": [[], 0, 1]}',
    ):
        (tmp_path / "a.json").write_text(damage, "utf-8")
        calls.clear()
        assert choice._kept(tmp_path / "a.json", 3, trial).tolist() == [1, 0, 1]
        assert calls == [1]


def test_a_training_that_diverges_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.finetuning.progress import diverged

    class Diverging:
        compared = trials.comparison(rows([0, 1] * 6), rows([]))

        def finetuned_values(self, split: Fold, recipe: FinetuneParams) -> np.ndarray:
            raise diverged(3, 0.1)

    candidate = Candidate("few_labels", FinetuneParams(method="full"), 1.0, 1.0)
    tried: Any = Diverging()
    choice._try(candidate, tried, tmp_path)
    assert candidate.values is None and candidate.remark.startswith("fine-tuning diverged at step 3")
