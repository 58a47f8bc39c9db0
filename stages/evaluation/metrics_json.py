"""The numbers of an evaluation: all of them for details.json, and the few of metrics.json that fit on a screen."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.common import json_file
from stages.common.params import EvaluateParams
from stages.evaluation import labels_saved, sure_rows
from stages.evaluation.learning_curve import Curve
from stages.evaluation.results import ScoredRows
from stages.heads.model_card import ModelCard
from stages.scores import proportions
from stages.scores.intervals import Intervals
from stages.tasks import ClassTask, Task

if TYPE_CHECKING:
    import pandas as pd

NOT_JUDGED = (
    "there are no test rows, folds judge the head alone, and the validation rows chose among its epochs; raise"
    " prepare.test to judge it"
)
PAIRS = (("head", "baseline"), ("finetuned", "baseline"), ("finetuned", "head"))  # models whose difference is reported


def headline(details: Mapping[str, Any], shipped: str, task: Task) -> dict[str, float]:
    """Choose the numbers of metrics.json from those that `details` returns: a line of DVC holds them.

    The first two metrics of the task, such as accuracy and macro F1, are those of the model `shipped`, so that heads
    and fine-tuned models are compared in one column; `head` and `baseline` are the first one of the others. `test_rows`
    and `classes` show in `dvc metrics diff` that two evaluations are of different data; `cross_validated_rows` that
    there were no test rows. How many rows are accepted is in details.json alone: with it, the line of a fine-tuned
    model would be wider than 100 characters.
    """
    models = [name for name in ("head", "baseline") if name in details and name != shipped]
    counts = {name: details[name] for name in ("test_rows", "cross_validated_rows", "classes") if name in details}
    own = {name: details[shipped][name] for name in (task.primary, task.second) if name in details[shipped]}
    return own | {name: details[name][task.primary] for name in models} | counts


def is_own(path: Path) -> bool:
    """Tell whether a file is a metrics.json of an evaluation, of classes or of numbers."""
    return {"test_rows"} < json_file.mapping(path).keys() & {"test_rows", "classes", "mean_absolute_error"}


def details(
    *,
    scored: ScoredRows,
    cards: Mapping[str, ModelCard],
    curves: Mapping[str, Curve],
    pairs: "pd.DataFrame",
    suspects: "Mapping[str, pd.DataFrame]",
    settings: EvaluateParams,
) -> dict[str, Any]:
    """Compute details.json.

    Args:
        scored: the judged rows.
        cards: the trained models; the baseline has none.
        curves: learning curves of `backbone` and `baseline`.
        pairs: near-duplicates, as `near_duplicates.find` returns them.
        suspects: likely label errors of every split, as `label_errors.find` returns them.
        settings: number of resamples for the intervals, and their seed.
    """
    out = _models(scored, cards, settings) | sure_rows.details(scored, settings)
    out["cut_rows"] = scored.rows.cut_rows  # judged texts of which the backbone did not read the end
    out["unclear_tokens"] = scored.rows.unclear_share  # of those of the judged texts: unknown ones and single letters
    if scored.division and "finetuned" in cards:
        out["not_judged"] = {"finetuned": NOT_JUDGED}
    if "finetuned" in cards:
        out["finetuned_kept_epoch"] = cards["finetuned"].training["kept_epoch"]  # 0: the head was better than all
    out["labels_saved"] = labels_saved.from_curves(curves, scored.task.primary)
    out["near_duplicates"] = _without_near_duplicates(scored, pairs)
    out["label_errors"] = {split: part["row"].nunique() for split, part in suspects.items()}
    return out


def _models(scored: ScoredRows, cards: Mapping[str, ModelCard], settings: EvaluateParams) -> dict[str, Any]:
    """Compute the metrics of every model and of the differences in `PAIRS`, with their 95 % intervals.

    Returns:
        What `_counts` returns, for every model its metrics as NAME and their 95 % intervals as NAME_ci95, and the same
        for every pair as NAME_minus_OTHER. There are no intervals without resamples.
    """
    truth, models = scored.truth, scored.probabilities
    drawn = {"resamples": settings.bootstrap, "seed": settings.seed}
    points = {name: _mean([scored.task.headline(truth, P) for P in scored.runs(name)]) for name in models}
    out: dict[str, Any] = _counts(scored)
    for name, P in models.items():
        card = None if scored.division else cards.get(name)  # the heads of folds have temperatures of their own
        out[name] = dict(points[name])
        if scored.task.has_classes:
            out[name] |= _mean([_calibration(scored.classes, truth, P, card) for P in scored.runs(name)])
        out |= _named(name, scored.task.intervals(truth, P, point=points[name], spread=scored.spread, **drawn))
    for name, other in PAIRS:
        if name in models and other in models:
            out |= _difference(name, other, scored, (points[name], points[other]), settings)
    return out


def _counts(scored: ScoredRows) -> dict[str, Any]:
    """Count the judged rows and the classes, if there are any; of a cross-validation, also the folds and repeats."""
    classes = {"classes": len(scored.labels)} if scored.task.has_classes else {}
    if not scored.division:
        return {"test_rows": len(scored.truth)} | classes
    return {
        "test_rows": 0,
        "cross_validated_rows": len(scored.truth),
        **classes,
        "folds": scored.division.count,
        "repeats": len(scored.division.repeats),
    }


def _mean(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of every metric that is defined in all repeats."""
    return {name: fmean(part[name] for part in values) for name in values[0] if all(name in part for part in values)}


def _difference(
    name: str,
    other: str,
    scored: ScoredRows,
    points: tuple[Mapping[str, float], Mapping[str, float]],
    settings: EvaluateParams,
) -> dict[str, Any]:
    """Compute the differences between the metrics of two models, `points`, with 95 % intervals.

    Where rows are right or wrong there is a p-value too.
    """
    truth, pair = scored.truth, f"{name}_minus_{other}"
    wins_losses = _wins_and_losses(name, other, scored) if scored.task.has_classes else None
    values = {metric: points[0][metric] - points[1][metric] for metric in points[0] if metric in points[1]}
    ends = scored.task.difference(
        truth,
        scored.probabilities[name],
        scored.probabilities[other],
        resamples=settings.bootstrap,
        seed=settings.seed,
        points=points,
        wins_losses=wins_losses,
        spread=scored.spread,
    )
    p_value = {"p_value": proportions.mcnemar(*wins_losses)} if wins_losses else {}
    return {pair: values | p_value} | _named(pair, ends)


def _wins_and_losses(name: str, other: str, scored: ScoredRows) -> tuple[float, float]:
    """Count the rows that only the first of two models gets right, and only the second: means over the repeats."""
    counts = [
        proportions.wins_and_losses(*(scored.classes.is_right(scored.truth, run) for run in runs))
        for runs in zip(scored.runs(name), scored.runs(other), strict=True)
    ]
    wins, losses = (fmean(count) / scored.spread for count in zip(*counts, strict=True))
    return wins, losses


def _without_near_duplicates(scored: ScoredRows, pairs: "pd.DataFrame") -> dict[str, Any]:
    """Count the judged rows in `pairs` and compute every model's metrics on the others, if there are any."""
    out: dict[str, Any] = {"test_rows": len(pairs)}
    kept = np.ones(len(scored.truth), dtype=bool)
    kept[pairs["test"]] = False
    if len(pairs) and kept.any():
        for name in scored.probabilities:
            out[f"{name}_without"] = _mean(
                [scored.task.headline(scored.truth[kept], P[kept]) for P in scored.runs(name)]
            )
    return out


def _calibration(task: ClassTask, truth: np.ndarray, outputs: np.ndarray, card: ModelCard | None) -> dict[str, float]:
    """Compute the calibration error, and of a trained model also the one before its scores were calibrated."""
    errors = {"calibration_error": task.calibration_error(truth, outputs)}
    if card:
        uncalibrated = task.uncalibrated(outputs, card.validation_temperatures())
        errors["calibration_error_before"] = task.calibration_error(truth, uncalibrated)
    return errors


def _named(name: str, ends: Intervals) -> dict[str, Any]:
    """Return the intervals as NAME_ci95; empty where there are none."""
    named = {metric: {"low": low, "high": high} for metric, (low, high) in ends.items()}
    return {f"{name}_ci95": named} if named else {}
