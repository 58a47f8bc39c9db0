"""Choose between the frozen head and the presets of fine-tuning, for `finetune.preset: auto`.

Each is trained on some of the labelled rows and judged on others. A preset is taken if it beats the head beyond chance,
by the paired interval of the difference in the task's first metric. Cheaper ones come first. One is not tried if, by an
estimate, it would take more minutes than the budget has left.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from stages.common import atomic, json_file, package
from stages.common.metric_directions import is_higher_better
from stages.common.params import FinetuneParams, Params, RuntimeParams
from stages.common.presets import Preset
from stages.finetuning import all_rows, auto_values, trials
from stages.finetuning import classifier as classifiers
from stages.finetuning.cost import Cost
from stages.finetuning.progress import DivergedError
from stages.finetuning.rows import Rows
from stages.heads.model_card import ModelCard
from stages.scores import proportions

DIGITS = 4  # of scores in model.json
SHARE = "accuracy"  # the metric that is a share of rows
CANDIDATES: tuple[Preset, ...] = ("many_labels", "few_labels")


@dataclass
class Candidate:
    """A way of training: its settings, its estimated minutes, and how it did.

    Attributes:
        trial, final: estimated minutes of all trials, and of the training that follows if it is chosen.
        values: (judged rows,) of which the task's first metric is the mean, such as whether a row is right; None if it
            was not tried.
        remark: why it was not tried.
    """

    preset: Preset
    recipe: FinetuneParams
    trial: float
    final: float
    values: np.ndarray | None = None
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
    cost, budget, metric = Cost(encoder, rows.inputs), settings.finetune.budget_minutes, card.as_task().primary
    recipes = {preset: auto_values.recipe(settings.finetune.with_preset(preset), card) for preset in CANDIDATES}
    again = len(train.y) + len(validation.y) if all_rows.is_wanted(card, settings.finetune, validation) else 0
    candidates = _candidates(recipes, cost, compared, trained=len(train.y), again=again)
    _keep_to(budget, candidates, spent=cost.encoding(np.arange(len(rows.y))))
    if not any(candidate.remark == "" for candidate in candidates):
        return _decide(candidates, None, metric, compared.name, budget)
    tried = trials.Trials(compared, encoder.encode(rows.inputs), card, settings.runtime)
    for candidate in candidates:
        if not candidate.remark:
            _try(candidate, tried, folder)
    return _decide(candidates, tried.head_values(), metric, compared.name, budget)


def _candidates(
    recipes: Mapping[Preset, FinetuneParams], cost: Cost, compared: trials.Comparison, *, trained: int, again: int = 0
) -> list[Candidate]:
    """List the ways of training that differ, the cheapest first.

    Args:
        trained, again: the numbers of rows of the training that follows, and of the second one, see `all_rows`.
    """
    candidates: list[Candidate] = []
    for preset, recipe in recipes.items():
        if any(recipe.recipe() == other.recipe.recipe() for other in candidates):
            continue
        trial = sum(cost.training(split.training, recipe) + cost.encoding(split.held_out) for split in compared.splits)
        final = cost.training(np.arange(trained), recipe) * (1 + again / trained)
        candidates.append(Candidate(preset, recipe, trial, final))
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
    """Train a candidate on every split, and note how it does on every row, or why it cannot be trained."""
    parts = []
    for index, split in enumerate(tried.compared.splits):
        path = folder / f"{candidate.preset}-{index}.json"
        try:
            parts.append(_kept(path, len(split.held_out), partial(tried.finetuned_values, split, candidate.recipe)))
        except DivergedError as error:
            candidate.remark = str(error)
            return
    candidate.values = np.concatenate(parts)


def _kept(path: Path, rows: int, trial: Callable[[], np.ndarray]) -> np.ndarray:
    """Return the result of a trial, (rows,), from the file `path` if a killed run left it there."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        values = np.array(json.loads(path.read_text("utf-8"))["values"], dtype=np.float64)
        if values.shape == (rows,) and np.isfinite(values).all():
            return values
    values = trial().astype(np.float64)
    with atomic.file(path) as out:
        json_file.write(out, {"values": values.tolist()}, indent=0)
    return values


def _decide(
    candidates: list[Candidate], head: np.ndarray | None, metric: str, name: str, budget_minutes: float
) -> Choice:
    """Take the best candidate among those that beat the head beyond chance, the cheapest of equal ones.

    Args:
        head: (judged rows,) values of the head, whose mean is `metric`; None if nothing was tried.
        name: of the judged rows.
    """
    scores = {candidate.preset: _score(candidate, head, metric) for candidate in candidates}
    better = [preset for preset, score in scores.items() if score.get("gain_ci95", {"low": 0})["low"] > 0]
    preset: Preset = max(better, key=lambda preset: scores[preset]["gain"], default="none")
    of_head = {} if head is None else _mean(head, metric)
    others = [_sentence(candidate, scores[candidate.preset], metric) for candidate in candidates]
    subject = "keeps the head" if preset == "none" else f"takes {preset}"
    value = f"{metric.replace('_', ' ')} {of_head[metric]:{_digits(metric)}}" if of_head else ""
    on = f", which has {value} on {name}" if preset == "none" and of_head else ""
    if preset != "none":
        on = f", by {name}: the head has {value}"
    reason = f"auto {subject}{on}; {'; '.join(others)}"
    record = {
        "judged_on": name,
        "budget_minutes": budget_minutes,
        "tried": [{"preset": "none", **of_head}, *({"preset": name, **score} for name, score in scores.items())],
        "chosen": preset,
        "reason": reason,
    }
    return Choice(preset, reason, record)


def _score(candidate: Candidate, head: np.ndarray | None, metric: str) -> dict[str, Any]:
    """Return the metric of a candidate and what it gains over the head, with their noise; if not tried, say why."""
    minutes = {"estimated_minutes": float(f"{candidate.trial + candidate.final:.3g}")}
    if candidate.values is None or head is None:
        return {**minutes, "not_tried": candidate.remark}
    gains = (candidate.values.astype(float) - head) * (1 if is_higher_better(metric) else -1)
    low, high = _interval(gains, is_share=metric == SHARE)
    return {
        **minutes,
        **_mean(candidate.values, metric),
        "gain": _rounded(gains.mean(), metric),
        "gain_ci95": {"low": _rounded(low, metric), "high": _rounded(high, metric)},
    }


def _interval(gains: np.ndarray, *, is_share: bool) -> tuple[float, float]:
    """Compute the 95 % interval of the mean of the gains of rows: of shares from 1, 0 and -1, else by Student's t."""
    if is_share:
        return proportions.difference_interval(int((gains > 0).sum()), int((gains < 0).sum()), len(gains))
    half = float(stdtrit(len(gains) - 1, 0.975) * gains.std(ddof=1)) / math.sqrt(len(gains))
    return float(gains.mean()) - half, float(gains.mean()) + half


def _mean(values: np.ndarray, metric: str) -> dict[str, float]:
    error = values.std() / math.sqrt(len(values))
    return {metric: _rounded(values.mean(), metric), "standard_error": _rounded(error, metric)}


def _rounded(value: float, metric: str) -> float:
    """Round a value of a metric; those of numbers may be of any size."""
    return round(float(value), DIGITS) if metric == SHARE else float(f"{value:.{DIGITS}g}")


def _digits(metric: str) -> str:
    return ".3f" if metric == SHARE else f".{DIGITS}g"


def _sentence(candidate: Candidate, score: dict[str, Any], metric: str) -> str:
    if "gain" not in score:
        return f"{candidate.preset} was left out: {candidate.remark}"
    gain, low, high = (f"{value:+{_digits(metric)}}" for value in (score["gain"], *score["gain_ci95"].values()))
    return f"{candidate.preset} {gain} ({low} to {high})"
