"""How sure the models are of the judged rows, and whether that holds: metrics of accepted rows and prediction sets."""

import math
from typing import Any

import numpy as np
from scipy.special import stdtrit

from stages.common.params import EvaluateParams
from stages.common.predict_params import PredictParams
from stages.evaluation.cross_validation import Division
from stages.evaluation.results import ScoredRows
from stages.heads import certainty
from stages.heads.certainty import Verdicts
from stages.scores import proportions, selective
from stages.tables.features import Features

STRANGE = 95  # percentile of `unfamiliar` from which a row is counted; one training row in twenty is above it


def by_folds(labelled: Features, division: Division, scored: ScoredRows, settings: PredictParams) -> Verdicts:
    """Judge cross-validated rows, those of every fold by limits and distances from the rows of the other folds.

    Args:
        scored: the judged rows, with the outputs of the head in the first repeat.
    """
    truth, P, is_exclusive = scored.truth, scored.probabilities["head"], scored.task.is_exclusive
    accepted, sets = np.zeros(len(truth), dtype=bool), np.zeros(P.shape, dtype=bool)
    unfamiliar = np.zeros(len(truth))
    for fold, rows in division.positions():
        others = np.setdiff1d(np.arange(len(truth)), rows)
        if held_out := certainty.judged(scored.task, truth[others], P[others], "out-of-fold"):
            verdicts = held_out.limits(settings).verdicts(scored.task, P[rows])
            accepted[rows], sets[rows] = verdicts.accepted, verdicts.sets
        if known := certainty.known_rows(labelled.X[fold.training]):
            unfamiliar[rows] = known.unfamiliar(labelled.X[division.judged[rows]])
    return Verdicts(accepted, sets, unfamiliar) if is_exclusive else Verdicts(unfamiliar=unfamiliar)


def details(scored: ScoredRows, settings: EvaluateParams) -> dict[str, Any]:
    """Compute the metrics of every model that says how sure it is as NAME_certainty, and intervals.

    Returns:
        accuracy_coverage_area; accepted (share of the rows) and accepted_accuracy (none where no row is accepted);
        set_size (the mean), set_coverage and empty_sets (shares); unfamiliar (the share above `STRANGE`); and 95 %
        intervals as NAME_certainty_ci95, unless evaluate.bootstrap is 0.
    """
    out: dict[str, Any] = {}
    for name, verdicts in scored.verdicts.items():
        shares, values = _shares(scored, scored.probabilities[name], verdicts)
        key = f"{name}_certainty"
        out[key] = values | {metric: hits / rows for metric, (hits, rows) in shares.items()}
        if settings.bootstrap:
            ends = {metric: proportions.spread_interval(*share, scored.spread) for metric, share in shares.items()}
            if verdicts.sets is not None:
                ends["set_size"] = _mean_interval(verdicts.sets.sum(axis=1), scored.spread)
            out[f"{key}_ci95"] = {metric: {"low": low, "high": high} for metric, (low, high) in ends.items()}
    return out


def _shares(
    scored: ScoredRows, P: np.ndarray, verdicts: Verdicts
) -> tuple[dict[str, tuple[int, int]], dict[str, float]]:
    """Count hits and rows of every share, and compute the other metrics."""
    truth, shares = scored.truth, {}
    is_right = scored.task.is_right(truth, P)
    values = {"accuracy_coverage_area": selective.area(scored.task.confidence(P), is_right)}
    if (accepted := verdicts.accepted) is not None:
        shares["accepted"] = (int(accepted.sum()), len(truth))
        if accepted.any():
            shares["accepted_accuracy"] = (int(is_right[accepted].sum()), int(accepted.sum()))
    if (sets := verdicts.sets) is not None:
        sizes = sets.sum(axis=1)
        values["set_size"] = float(sizes.mean())
        shares["set_coverage"] = (int(sets[np.arange(len(truth)), truth].sum()), len(truth))
        shares["empty_sets"] = (int((sizes == 0).sum()), len(truth))
    if verdicts.unfamiliar is not None:
        shares["unfamiliar"] = (int((verdicts.unfamiliar > STRANGE).sum()), len(truth))
    return shares, values


def _mean_interval(values: np.ndarray, spread: float) -> tuple[float, float]:
    """Compute the 95 % interval of a mean by Student's t; `spread`: as in scores/intervals.py."""
    mean, rows = float(values.mean()), len(values)
    if rows < 2:
        return mean, mean
    width = float(stdtrit(rows - 1, 0.975)) * float(values.std(ddof=1)) * math.sqrt(spread / rows)
    return max(mean - width, 0.0), mean + width
