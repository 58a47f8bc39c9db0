"""Fit a head for rows with several labels: one binary classifier for every label, against all rows without it.

scikit-learn's OneVsRestClassifier is the same. Here the folds are shared, C is chosen out of fold for all labels
together and for a label alone where that is better beyond chance, and every label has a temperature and a threshold.
Labels of which every row has exactly one (`scores.exclusive`) have one classifier, as a row of one class has.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from stages.common import threads
from stages.common.errors import HeadstartError
from stages.common.params import TrainHeadParams
from stages.heads import choosing, estimators, folds, lbfgs
from stages.heads.choosing import Chosen
from stages.heads.one_vs_rest_head import OneVsRest, log_odds
from stages.scores import calibration, exclusive, thresholds
from stages.tables.features import Matrix

MIN_OWN_C_ERRORS = 2.0  # standard errors by which a label's own C must be better than the common one


@dataclass(frozen=True)
class ChosenByLabel(Chosen):
    """As `Chosen`, of all labels together, and the value of every label.

    `log_losses` are means over rows and labels, `accuracies` shares of right decisions at a probability of 0.5.
    `threshold` is that of the settings, and `of_sets` what was chosen for the sets of labels that exclude each other.
    Where no label is outside of these, all but `by_label` is that of the largest set.
    """

    by_label: tuple[float, ...] = ()
    threshold: float | str = "auto"
    of_sets: tuple[Chosen, ...] = ()

    @property
    def has_labels_alone(self) -> bool:
        """Whether labels are outside of sets."""
        return all(self.log_losses != chosen.log_losses for chosen in self.of_sets)


def fit(
    X: Matrix, Y: np.ndarray, labels: Sequence[str], settings: TrainHeadParams, groups: np.ndarray | None = None
) -> tuple[OneVsRest, ChosenByLabel]:
    """Fit a head on all rows, with the candidates of the lowest out-of-fold log loss.

    Args:
        X: (rows, dim) float32.
        Y: (rows, labels) bool.
        labels: (labels,) names.
        groups: (rows,) names; the cross-validation keeps the rows of a group in one fold.
    """
    # A threshold that is set is for every label by itself; knn has one classifier, of all labels.
    is_by_label = settings.threshold != "auto" or settings.kind == "knn"
    sets = [sorted(members, key=labels.__getitem__) for members in ([] if is_by_label else exclusive.find(Y))]
    alone = np.setdiff1d(np.arange(len(labels)), [label for members in sets for label in members])
    temperatures, limits = np.ones(len(labels)), np.full(len(labels), thresholds.DEFAULT)
    estimator, values = [], np.empty(len(labels))
    if len(alone):
        with choosing.quietly():
            chosen, scores = _choose(X, Y[:, alone], settings, groups)
            estimator = _fit(X, Y[:, alone], chosen.by_label, settings)
        values[alone] = chosen.by_label
        if scores is not None:
            temperatures[alone], limits[alone] = _decisions(scores, Y[:, alone], settings)
    of_sets = []
    for members in sets:
        names = np.array([labels[label] for label in members])
        head, chosen_of_set = choosing.fit(X, names[Y[:, members].argmax(axis=1)], settings, groups)
        estimator.append(head.estimator)
        temperatures[members], values[members] = head.temperature, chosen_of_set.value
        of_sets.append(chosen_of_set)
    if settings.threshold != "auto":
        limits[:] = settings.threshold
    if not len(alone):
        chosen = ChosenByLabel(**vars(of_sets[int(np.argmax([len(members) for members in sets]))]))
    chosen = replace(chosen, by_label=tuple(values.tolist()), threshold=settings.threshold, of_sets=tuple(of_sets))
    named = tuple(tuple(labels[label] for label in members) for members in sets)
    return OneVsRest(estimator, tuple(labels), tuple(temperatures.tolist()), tuple(limits.tolist()), named), chosen


def _decisions(scores: np.ndarray, Y: np.ndarray, settings: TrainHeadParams) -> tuple[np.ndarray, np.ndarray]:
    """Fit temperatures, if they are asked for, and thresholds of labels, both (labels,), to out-of-fold scores."""
    calibrate = settings.kind in choosing.KINDS_TO_CALIBRATE or settings.final == "all"
    temperatures, limits = np.ones(Y.shape[1]), np.empty(Y.shape[1])
    for label in range(Y.shape[1]):
        judged = ~np.isnan(scores[:, label])
        column, has = scores[judged, label : label + 1], Y[judged, label : label + 1]
        if calibrate:
            temperatures[label] = calibration.fit_temperatures(column, has)[0]
        limits[label] = thresholds.choose(expit(column / temperatures[label]), has)[0]
    return temperatures, limits


def out_of_fold(X: Matrix, Y: np.ndarray, C: float, groups: np.ndarray | None = None) -> np.ndarray:
    """Compute the log odds of every row by logistic heads on the other folds: (rows, labels); NaN as in `_choose`.

    A head is fitted on about `choosing.MAX_OUT_OF_FOLD_ROWS` rows at most. `X` may be in float16.
    """
    settings = TrainHeadParams(C=(C,))
    with choosing.quietly():
        count = min(settings.folds, folds.fewest(len(Y), choosing.MAX_OUT_OF_FOLD_ROWS))
        parts = folds.split(folds.rarest(Y), count, groups=groups)
        scores = _cross_validate(X, Y, parts, (C,), settings, most=choosing.MAX_OUT_OF_FOLD_ROWS)
    return np.asarray(scores[0])


def cross_validated(X: Matrix, Y: np.ndarray, groups: np.ndarray | None = None) -> tuple[np.ndarray, ChosenByLabel]:
    """Choose logistic heads as `fit` does, and compute their out-of-fold decisions, without fitting them on all rows.

    A label is given from 0.5 on, and the likeliest one of labels that exclude each other. A label that no other fold
    has is not given.

    Returns:
        (rows,) bool, true where all labels of a row are right; and what was chosen.

    Raises:
        HeadstartError: the rows cannot be divided into folds.
    """
    with choosing.quietly():
        chosen, scores = _choose(X, Y, TrainHeadParams(), groups)
    if scores is None:
        raise HeadstartError("the rows cannot be divided into folds; label more rows, or rows of more groups")
    scores = np.nan_to_num(scores, nan=-np.inf)
    given = scores > 0
    for labels in map(list, exclusive.find(Y)):
        given[:, labels] = scores[:, labels].argmax(axis=1)[:, None] == np.arange(len(labels))
    return np.asarray((given == Y).all(axis=1)), chosen


def _fit(X: Matrix, Y: np.ndarray, values: Sequence[float], settings: TrainHeadParams) -> Any:
    """Fit the classifiers of all labels; `values`: the candidate of every label, of knn of all labels."""
    if settings.kind == "knn":
        return estimators.fit(X, Y.astype(int), values[0], settings)
    moments = lbfgs.second_moments(X) if estimators.is_for_lbfgs(len(Y), settings) else None

    def run(label: int) -> Any:
        return _fit_label(X, Y[:, label], values[label], settings, moments=moments)

    with ThreadPoolExecutor(threads.cores()) as pool:
        return list(pool.map(run, range(Y.shape[1])))


def _fit_label(
    X: Matrix, y: np.ndarray, value: float, settings: TrainHeadParams, *, start: Any = None, moments: Any = None
) -> Any:
    """Fit the classifier of one label; one that all rows have, or none, has the same odds everywhere."""
    if y.all() or not y.any():
        constant = LogisticRegression()
        constant.coef_ = np.zeros((1, X.shape[1]), dtype=np.float32)
        odds = (y.sum() + 1) / (len(y) - y.sum() + 1)
        constant.intercept_ = np.array([np.log(odds)], dtype=np.float32)
        constant.classes_, constant.n_features_in_ = np.arange(2), X.shape[1]
        return constant
    usable = start if estimators.is_for_lbfgs(len(y), settings) and start is not None and start.coef_.any() else None
    return estimators.fit(X, y.astype(int), value, settings, start=usable, moments=moments)


def _choose(
    X: Matrix, Y: np.ndarray, settings: TrainHeadParams, groups: np.ndarray | None
) -> tuple[ChosenByLabel, np.ndarray | None]:
    """Choose among the candidates, and give the out-of-fold log odds of the chosen ones, (rows, labels).

    Of a label that a row's fold does not train on, and of a row that no fold judges, these are NaN. They are None where
    there was no cross-validation.
    """
    count = Y.shape[1]
    parts = folds.split(folds.rarest(Y), settings.folds, groups=groups)
    parameter = "neighbors" if settings.kind == "knn" else "C"
    candidates = choosing.candidates_within(min((len(part.training) for part in parts), default=len(Y)), settings)
    is_needed = (
        len(candidates) > 1
        or settings.threshold == "auto"
        or settings.kind in choosing.KINDS_TO_CALIBRATE
        or settings.final == "all"
    )
    if not parts or not is_needed:
        value = choosing.default_value(parameter, candidates)
        return ChosenByLabel(parameter, value, candidates, folds=0, by_label=(value,) * count), None
    # (candidates, rows, labels)
    by_candidate = _cross_validate(X, Y, parts, candidates, settings, most=choosing.MAX_FIT_ROWS)
    losses = np.stack([_losses(scores, Y, settings) for scores in by_candidate])  # (candidates, rows, labels)
    best = int(np.argmin(np.nanmean(losses, axis=(1, 2))))
    own = np.full(count, best) if parameter == "neighbors" else _own(losses, best)
    right = np.where(np.isnan(by_candidate), np.nan, (by_candidate > 0) == Y)
    chosen = ChosenByLabel(
        parameter,
        candidates[best],
        candidates,
        len(parts),
        tuple(np.nanmean(losses, axis=(1, 2)).tolist()),
        tuple(np.nanmean(right, axis=(1, 2)).tolist()),
        tuple(candidates[index] for index in own),
    )
    return chosen, np.asarray(by_candidate[own, :, np.arange(count)].T)


def _losses(scores: np.ndarray, Y: np.ndarray, settings: TrainHeadParams) -> np.ndarray:
    """Compute the log loss of every decision, (rows, labels), calibrated where the kind needs it; NaN stays."""
    signed = np.where(Y, -scores, scores)
    if settings.kind in choosing.KINDS_TO_CALIBRATE:
        for label in range(Y.shape[1]):
            judged = ~np.isnan(scores[:, label])
            part = slice(label, label + 1)
            signed[:, part] /= calibration.fit_temperatures(scores[judged, part], Y[judged, part])
    with np.errstate(invalid="ignore"):
        return np.asarray(np.logaddexp(0, signed))


def _own(losses: np.ndarray, best: int) -> np.ndarray:
    """Return the candidate of every label: the one that is best for all, or its own where that is better beyond chance.

    Args:
        losses: (candidates, rows, labels), NaN where a row is not judged.
        best: the candidate that is best for all labels.
    """
    own = np.full(losses.shape[2], best)
    for label in range(losses.shape[2]):
        judged = losses[:, ~np.isnan(losses[0, :, label]), label]  # (candidates, judged rows)
        if judged.shape[1] < 2:
            continue
        index = int(judged.mean(axis=1).argmin())
        gain = judged[best] - judged[index]
        if gain.mean() > MIN_OWN_C_ERRORS * gain.std(ddof=1) / np.sqrt(len(gain)):
            own[label] = index
    return own


def _cross_validate(
    X: Matrix,
    Y: np.ndarray,
    parts: Sequence[folds.Fold],
    candidates: tuple[float, ...],
    settings: TrainHeadParams,
    *,
    most: int,
) -> np.ndarray:
    """Compute the out-of-fold log odds by every candidate, fitted on about `most` rows at most.

    Returns:
        (candidates, rows, labels) float64; NaN as in `_choose`.
    """
    out = np.full((len(candidates), *Y.shape), np.nan)
    moments = lbfgs.second_moments(X) if estimators.is_for_lbfgs(len(Y), settings) else None
    ascending = np.argsort(candidates)  # the solution for one C is near that for the next

    strata = folds.rarest(Y)

    def run(part: folds.Fold) -> None:
        order = np.random.default_rng(0).permutation(len(part.training))
        training = part.training[choosing.sample_rows(order, strata[part.training], most=most, least=1)]
        labels = np.flatnonzero(Y[training].any(axis=0))
        X_training, Y_training, X_judged = choosing.single(X, training), Y[training], choosing.single(X, part.held_out)
        if settings.kind == "knn":
            for index in ascending:
                classifier = _fit(X_training, Y_training, (candidates[index],), settings)
                out[index, part.held_out[:, None], labels] = log_odds(classifier, X_judged)[:, labels]
            return
        for label in labels:
            classifier = None
            for index in ascending:
                classifier = _fit_label(
                    X_training, Y_training[:, label], candidates[index], settings, start=classifier, moments=moments
                )
                out[index, part.held_out, label] = log_odds([classifier], X_judged)[:, 0]

    with ThreadPoolExecutor(threads.cores()) as pool:
        list(pool.map(run, parts))
    return out
