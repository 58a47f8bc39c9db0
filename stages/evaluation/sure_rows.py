"""How sure the models are of the judged rows, and whether that holds: metrics of accepted rows and prediction sets."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stages.common.params import EvaluateParams
from stages.common.predict_params import PredictParams
from stages.evaluation.cross_validation import Division
from stages.evaluation.results import ScoredRows
from stages.heads import certainty
from stages.heads.certainty import Verdicts
from stages.scores import means, proportions, selective
from stages.tables.features import Features

STRANGE = 95  # percentile of `unfamiliar` from which a row is counted; one training row in twenty is above it


def by_folds(labelled: Features, division: Division, scored: ScoredRows, settings: PredictParams) -> Verdicts:
    """Judge cross-validated rows, those of every fold by limits and distances from the rows of the other folds.

    Args:
        scored: the judged rows, with the outputs of the head in the first repeat.
    """
    truth, outputs, task = scored.truth, scored.probabilities["head"], scored.task
    arrays: dict[str, np.ndarray] = {"unfamiliar": np.zeros(len(truth))}
    for fold, rows in division.positions():
        others = np.setdiff1d(np.arange(len(truth)), rows)
        verdicts = Verdicts()
        if held_out := certainty.judged(task, truth[others], outputs[others], "out-of-fold"):
            verdicts = held_out.limits(settings).verdicts(task, outputs[rows])
        if known := certainty.known_rows(labelled.X[fold.training]):
            verdicts = verdicts._replace(unfamiliar=known.unfamiliar(labelled.X[division.judged[rows]]))
        for name, values in verdicts._asdict().items():
            if values is not None:
                whole = arrays.setdefault(name, np.zeros((len(truth), *values.shape[1:]), dtype=values.dtype))
                whole[rows] = values
    return Verdicts(**arrays)


def details(scored: ScoredRows, settings: EvaluateParams) -> dict[str, Any]:
    """Compute the metrics of every model that says how sure it is as NAME_certainty, and intervals.

    Returns:
        accuracy_coverage_area; accepted (share of the rows) and accepted_accuracy (none where no row is accepted);
        set_size (the mean), set_coverage and empty_sets (shares); of numbers, interval_coverage (the share whose
        interval holds them) and interval_width (the mean), none without intervals; unfamiliar (the share above
        `STRANGE`); and 95 % intervals as NAME_certainty_ci95, unless evaluate.bootstrap is 0. Of test rows of the class
        `prepare.unknown`, what `_unknown` returns as NAME_unknown, and intervals.
    """
    out: dict[str, Any] = {}
    for name, verdicts in scored.unknown.items():
        shares = _unknown(scored, scored.probabilities[name], scored.verdicts[name], verdicts)
        out |= _shares_and_intervals(f"{name}_unknown", shares, settings, spread=1)
        out[f"{name}_unknown"]["rows"] = next((rows for key, (_, rows) in shares.items() if key != "precision"), 0)
    for name, verdicts in scored.verdicts.items():
        shares, values = _shares(scored, scored.probabilities[name], verdicts)
        key = f"{name}_certainty"
        out |= _shares_and_intervals(key, shares, settings, scored.spread)
        out[key] = values | out[key]
        if settings.bootstrap and verdicts.sets is not None:
            low, high = means.interval(verdicts.sets.sum(axis=1), scored.spread)
            out[f"{key}_ci95"]["set_size"] = {"low": low, "high": high}
    return out


def _shares_and_intervals(
    key: str, shares: Mapping[str, tuple[int, int]], settings: EvaluateParams, spread: float
) -> dict[str, Any]:
    """Return shares, by their hits and rows, as `key`, and intervals unless evaluate.bootstrap is 0."""
    out: dict[str, Any] = {key: {metric: hits / rows for metric, (hits, rows) in shares.items()}}
    if settings.bootstrap:
        ends = {metric: proportions.spread_interval(*share, spread) for metric, share in shares.items()}
        out[f"{key}_ci95"] = {metric: {"low": low, "high": high} for metric, (low, high) in ends.items()}
    return out


def _unknown(scored: ScoredRows, P: np.ndarray, verdicts: Verdicts, unknown: Verdicts) -> dict[str, tuple[int, int]]:
    """Count hits and rows of shares of test rows of the class `prepare.unknown` and of the others, of a model.

    A row is predicted to be none of the model's classes where it is not accepted: the threshold is chosen for that.

    Args:
        verdicts: of the test rows of other classes.
        unknown: of these rows.

    Returns:
        recall and precision of that, accepted_accuracy with accepted unknown rows as wrong ones, unfamiliar (the share
        above `STRANGE`).
    """
    shares = {}
    if verdicts.accepted is not None and unknown.accepted is not None:
        none, accepted = ~unknown.accepted, verdicts.accepted
        shares["recall"] = (int(none.sum()), len(none))
        if rejected := int(none.sum()) + int((~accepted).sum()):
            shares["precision"] = (int(none.sum()), rejected)
        if (total := int(accepted.sum()) + int(unknown.accepted.sum())) and scored.task.has_classes:
            right = scored.task.is_right(scored.truth, P)
            shares["accepted_accuracy"] = (int(right[accepted].sum()), total)
    if unknown.unfamiliar is not None:
        shares["unfamiliar"] = (int((unknown.unfamiliar > STRANGE).sum()), len(unknown.unfamiliar))
    return shares


def _shares(
    scored: ScoredRows, P: np.ndarray, verdicts: Verdicts
) -> tuple[dict[str, tuple[int, int]], dict[str, float]]:
    """Count hits and rows of every share, and compute the other metrics."""
    truth, shares = scored.truth, dict[str, tuple[int, int]]()
    values = {}
    if scored.task.has_classes:
        is_right = scored.task.is_right(truth, P)
        values["accuracy_coverage_area"] = selective.area(scored.task.confidence(P), is_right)
        if (accepted := verdicts.accepted) is not None:
            shares["accepted"] = (int(accepted.sum()), len(truth))
            if accepted.any():
                shares["accepted_accuracy"] = (int(is_right[accepted].sum()), int(accepted.sum()))
    if verdicts.intervals is not None and np.isfinite(verdicts.intervals).all():
        low, high = verdicts.intervals.T
        shares["interval_coverage"] = (int(((low <= truth) & (truth <= high)).sum()), len(truth))
        values["interval_width"] = float((high - low).mean())
    if (sets := verdicts.sets) is not None:
        sizes = sets.sum(axis=1)
        values["set_size"] = float(sizes.mean())
        shares["set_coverage"] = (int(sets[np.arange(len(truth)), truth].sum()), len(truth))
        shares["empty_sets"] = (int((sizes == 0).sum()), len(truth))
    if verdicts.unfamiliar is not None:
        shares["unfamiliar"] = (int((verdicts.unfamiliar > STRANGE).sum()), len(truth))
    return shares, values
