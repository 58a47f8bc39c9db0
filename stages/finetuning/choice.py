"""Choose between the frozen head and the presets of fine-tuning, for `finetune.preset: auto`.

Each is trained on some of the labelled rows and judged on others. A preset is taken if it beats the head beyond chance,
by the paired interval of their accuracies. Cheaper ones come first. One is not tried if, by an estimate, it would take
more minutes than the budget has left.
"""

import hashlib
import json
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stages.common import atomic, json_file, package
from stages.common.params import FinetuneParams, Params, RuntimeParams
from stages.common.presets import Preset
from stages.finetuning import classifier as classifiers
from stages.finetuning import trials
from stages.finetuning.cost import Cost
from stages.finetuning.progress import DivergedError
from stages.finetuning.rows import Rows
from stages.heads.model_card import ModelCard
from stages.scores import proportions

DIGITS = 4  # of scores in model.json
CANDIDATES: tuple[Preset, ...] = ("many_labels", "few_labels")


@dataclass
class Candidate:
    """A way of training: its settings, its estimated minutes, and how it did.

    Attributes:
        trial, final: estimated minutes of all trials, and of the training that follows if it is chosen.
        right: (judged rows,) whether its label was right; None if it was not tried.
        remark: why it was not tried.
    """

    preset: Preset
    recipe: FinetuneParams
    trial: float
    final: float
    right: np.ndarray | None = None
    remark: str = ""


@dataclass(frozen=True)
class Choice:
    """The preset that is taken, `none` for the frozen head; a sentence why; and all that was tried, for model.json."""

    preset: Preset
    reason: str
    record: dict[str, Any] = field(default_factory=dict)


def key(settings: FinetuneParams, runtime: RuntimeParams, identity: str) -> str:
    """Hash all that decides a choice; `identity` names rows, head and libraries."""
    recipes = [settings.with_preset(preset).recipe() for preset in CANDIDATES]
    parts = [package.digest(), identity, recipes, settings.budget_minutes, runtime.device]
    return hashlib.sha256(json.dumps(["choice", *parts]).encode()).hexdigest()[:32]


def choose(card: ModelCard, train: Rows, validation: Rows, settings: Params, folder: Path) -> Choice:
    """Try the candidates that the budget allows, and choose.

    Args:
        card: of the head.
        folder: keeps the results of trials, so that a killed run does not repeat them.

    Raises:
        HeadstartError: the backbone cannot be loaded.
    """
    compared = trials.comparison(train, validation)
    if not compared.splits:
        return Choice("none", "auto keeps the head: the training rows are too few to compare on")
    encoder, rows = classifiers.pretrained(card, settings.runtime).encoder, compared.rows
    cost, budget = Cost(encoder, rows.inputs), settings.finetune.budget_minutes
    candidates = _candidates(settings.finetune, cost, compared, trained=len(train.y))
    _keep_to(budget, candidates, spent=cost.encoding(np.arange(len(rows.y))))
    if not any(candidate.remark == "" for candidate in candidates):
        return _decide(candidates, None, compared.name, budget)
    tried = trials.Trials(compared, encoder.encode(rows.inputs), card, settings.runtime)
    for candidate in candidates:
        if not candidate.remark:
            _try(candidate, tried, folder)
    return _decide(candidates, tried.head_right(), compared.name, budget)


def _candidates(settings: FinetuneParams, cost: Cost, compared: trials.Comparison, *, trained: int) -> list[Candidate]:
    """List the ways of training that differ, the cheapest first; `trained`: the number of training rows."""
    candidates: list[Candidate] = []
    for preset in CANDIDATES:
        recipe = settings.with_preset(preset)
        if any(recipe.recipe() == other.recipe.recipe() for other in candidates):
            continue
        trial = sum(cost.training(split.training, recipe) + cost.encoding(split.held_out) for split in compared.splits)
        candidates.append(Candidate(preset, recipe, trial, cost.training(np.arange(trained), recipe)))
    return sorted(candidates, key=lambda candidate: candidate.trial)


def _keep_to(budget: float, candidates: list[Candidate], *, spent: float) -> None:
    """Leave out candidates for which the minutes of the budget are not enough, after the `spent` ones."""
    final = 0.0
    for candidate in candidates:
        total = spent + candidate.trial + max(final, candidate.final)
        if total > budget:
            candidate.remark = f"about {total:.3g} minutes in all, and finetune.budget_minutes is {budget:g}"
        else:
            spent, final = spent + candidate.trial, max(final, candidate.final)


def _try(candidate: Candidate, tried: trials.Trials, folder: Path) -> None:
    """Train a candidate on every split, and note which rows it gets right, or why it cannot be trained."""
    parts = []
    for index, split in enumerate(tried.compared.splits):
        path = folder / f"{candidate.preset}-{index}.json"
        try:
            parts.append(_kept(path, len(split.held_out), partial(tried.finetuned_right, split, candidate.recipe)))
        except DivergedError as error:
            candidate.remark = str(error)
            return
    candidate.right = np.concatenate(parts)


def _kept(path: Path, rows: int, trial: Callable[[], np.ndarray]) -> np.ndarray:
    """Return the result of a trial, (rows,), from the file `path` if a killed run left it there."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(path.read_text("utf-8"))["right"]
        if len(content) == rows and set(content) <= {0, 1}:
            return np.array(content, dtype=bool)
    right = trial()
    with atomic.file(path) as out:
        json_file.write(out, {"right": right.astype(int).tolist()}, indent=0)
    return right


def _decide(candidates: list[Candidate], head_right: np.ndarray | None, name: str, budget_minutes: float) -> Choice:
    """Take the most accurate candidate among those that beat the head beyond chance, the cheapest of equal ones."""
    scores = {candidate.preset: _score(candidate, head_right) for candidate in candidates}
    better = [preset for preset, score in scores.items() if score.get("gain_ci95", {"low": 0})["low"] > 0]
    preset: Preset = max(better, key=lambda preset: scores[preset]["accuracy"], default="none")
    head = {} if head_right is None else _accuracy(head_right)
    others = [_sentence(candidate, scores[candidate.preset]) for candidate in candidates]
    subject = "keeps the head" if preset == "none" else f"takes {preset}"
    on = f", which has accuracy {head['accuracy']:.3f} on {name}" if preset == "none" and head else ""
    if preset != "none":
        on = f", by {name}: the head has accuracy {head['accuracy']:.3f}"
    reason = f"auto {subject}{on}; {'; '.join(others)}"
    record = {
        "judged_on": name,
        "budget_minutes": budget_minutes,
        "tried": [{"preset": "none", **head}, *({"preset": name, **score} for name, score in scores.items())],
        "chosen": preset,
        "reason": reason,
    }
    return Choice(preset, reason, record)


def _score(candidate: Candidate, head_right: np.ndarray | None) -> dict[str, Any]:
    """Return the accuracy of a candidate and what it gains over the head, with their noise; if not tried, say why."""
    minutes = {"estimated_minutes": float(f"{candidate.trial + candidate.final:.3g}")}
    if candidate.right is None or head_right is None:
        return {**minutes, "not_tried": candidate.remark}
    wins, losses = proportions.wins_and_losses(candidate.right, head_right)
    low, high = proportions.difference_interval(wins, losses, len(head_right))
    return {
        **minutes,
        **_accuracy(candidate.right),
        "gain": round((wins - losses) / len(head_right), DIGITS),
        "gain_ci95": {"low": round(low, DIGITS), "high": round(high, DIGITS)},
    }


def _accuracy(right: np.ndarray) -> dict[str, float]:
    accuracy = float(right.mean())
    error = math.sqrt(accuracy * (1 - accuracy) / len(right))
    return {"accuracy": round(accuracy, DIGITS), "standard_error": round(error, DIGITS)}


def _sentence(candidate: Candidate, score: dict[str, Any]) -> str:
    if "gain" not in score:
        return f"{candidate.preset} was left out: {candidate.remark}"
    ends = score["gain_ci95"]
    return f"{candidate.preset} {score['gain']:+.3f} ({ends['low']:+.3f} to {ends['high']:+.3f})"
