"""The numbers of an evaluation: all of them for details.json, and the few of metrics.json that fit on a screen."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import softmax

from stages.common.params import EvaluateParams
from stages.evaluation import labels_saved
from stages.evaluation.learning_curve import Curve
from stages.evaluation.results import ScoredRows
from stages.heads.model_card import ModelCard
from stages.scores import calibration, intervals, metrics, proportions

if TYPE_CHECKING:
    import pandas as pd

PAIRS = (("head", "baseline"), ("finetuned", "baseline"), ("finetuned", "head"))  # models whose difference is reported


def headline(details: Mapping[str, Any], shipped: str) -> dict[str, float]:
    """Choose the numbers of metrics.json from those that `details` returns: a line of DVC holds them.

    Accuracy and macro F1 are those of the model `shipped`, so that heads and fine-tuned models are compared in one
    column; `head` and `baseline` are the accuracies of the others. `test_rows` and `classes` show in `dvc metrics diff`
    that two evaluations are of different data.
    """
    others = {name: details[name]["accuracy"] for name in ("head", "baseline") if name in details and name != shipped}
    counts = {name: details[name] for name in ("test_rows", "classes")}
    return {name: details[shipped][name] for name in ("accuracy", "macro_f1")} | others | counts


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
        scored: the test rows.
        cards: the trained models; the baseline has none.
        curves: learning curves of `backbone` and `baseline`.
        pairs: near-duplicates, as `near_duplicates.find` returns them.
        suspects: likely label errors of every split, as `label_errors.find` returns them.
        settings: number of resamples for the intervals, and their seed.
    """
    out = _models(scored, cards, settings)
    out["cut_rows"] = scored.rows.cut_rows  # test texts of which the backbone did not read the end
    out["unclear_tokens"] = scored.rows.unclear_share  # of those of the test texts: unknown ones and single letters
    if "finetuned" in cards:
        out["finetuned_kept_epoch"] = cards["finetuned"].training["kept_epoch"]  # 0: no epoch was better than the head
    out["labels_saved"] = labels_saved.from_curves(curves)
    out["near_duplicates"] = _without_near_duplicates(scored, pairs)
    out["label_errors"] = {split: len(part) for split, part in suspects.items()}
    return out


def _models(scored: ScoredRows, cards: Mapping[str, ModelCard], settings: EvaluateParams) -> dict[str, Any]:
    """Compute the metrics of every model and of the differences in `PAIRS`, with their 95 % intervals.

    Returns:
        `test_rows`, `classes`, for every model its metrics as NAME and their 95 % intervals as NAME_ci95, and the same
        for every pair as NAME_minus_OTHER. There are no intervals without resamples.
    """
    truth, models = scored.truth, scored.probabilities
    drawn = {"resamples": settings.bootstrap, "seed": settings.seed}
    points = {name: metrics.headline(truth, P) for name, P in models.items()}
    out: dict[str, Any] = {"test_rows": len(truth), "classes": len(scored.labels)}
    for name, P in models.items():
        out[name] = points[name] | _calibration(truth, P, cards.get(name))
        out |= _named(name, intervals.for_model(truth, P, point=points[name], **drawn))
    for name, other in PAIRS:
        if name in models and other in models:
            pair = (models[name], models[other]), (points[name], points[other])
            out |= _difference(f"{name}_minus_{other}", truth, *pair, settings)
    return out


def _difference(
    pair: str,
    truth: np.ndarray,
    models: tuple[np.ndarray, np.ndarray],
    points: tuple[Mapping[str, float], Mapping[str, float]],
    settings: EvaluateParams,
) -> dict[str, Any]:
    """Compute the differences between the metrics of two models, `points`, with p-value and 95 % intervals."""
    wins_losses = intervals.wins_and_losses(truth, *models)
    values = {name: points[0][name] - points[1][name] for name in points[0] if name in points[1]}
    ends = intervals.for_difference(
        truth,
        *models,
        resamples=settings.bootstrap,
        seed=settings.seed,
        points=points,
        wins_losses=wins_losses,
    )
    return {pair: values | {"p_value": proportions.mcnemar(*wins_losses)}} | _named(pair, ends)


def _without_near_duplicates(scored: ScoredRows, pairs: "pd.DataFrame") -> dict[str, Any]:
    """Count the test rows in `pairs` and compute every model's metrics on the other test rows, if there are any."""
    out: dict[str, Any] = {"test_rows": len(pairs)}
    kept = np.ones(len(scored.truth), dtype=bool)
    kept[pairs["test"]] = False
    if len(pairs) and kept.any():
        for name, P in scored.probabilities.items():
            out[f"{name}_without"] = metrics.headline(scored.truth[kept], P[kept])
    return out


def _calibration(truth: np.ndarray, P: np.ndarray, card: ModelCard | None) -> dict[str, float]:
    """Compute the calibration error, and of a trained model also the one before its scores were calibrated."""
    errors = {"calibration_error": metrics.calibration_error(truth, P)}
    if card:
        uncalibrated = softmax(calibration.logits(P) * card.validation_temperature, axis=1)
        errors["calibration_error_before"] = metrics.calibration_error(truth, uncalibrated)
    return errors


def _named(name: str, ends: intervals.Intervals) -> dict[str, Any]:
    """Return the intervals as NAME_ci95; empty where there are none."""
    named = {metric: {"low": low, "high": high} for metric, (low, high) in ends.items()}
    return {f"{name}_ci95": named} if named else {}
