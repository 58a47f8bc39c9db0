"""Fit a head for rows with several labels: one binary classifier for every label, against all rows without it.

scikit-learn's OneVsRestClassifier is the same. Here the folds are shared, C is chosen out of fold for all labels
together and for a label alone where that is better beyond chance, and every label has a temperature and a threshold.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

from stages.common import threads
from stages.common.params import TrainHeadParams
from stages.heads import choosing, estimators, folds, lbfgs
from stages.heads.choosing import Chosen
from stages.scores import calibration, thresholds
from stages.tables.features import Matrix
from stages.tasks.multilabel import Multilabel

MIN_OWN_C_ERRORS = 2.0  # standard errors by which a label's own C must be better than the common one


@dataclass(frozen=True)
class ChosenByLabel(Chosen):
    """As `Chosen`, of all labels together, and the value of every label.

    `log_losses` are means over rows and labels, `accuracies` shares of right decisions at a probability of 0.5.
    `threshold` is that of the settings.
    """

    by_label: tuple[float, ...] = ()
    threshold: float | str = "auto"


@dataclass(frozen=True)
class OneVsRest:
    """Fitted binary classifiers, one for every label, in the order of `labels`.

    Attributes:
        estimator: a list of the classifiers; for knn one classifier, of all labels.
        temperatures: (labels,) by which scores are divided.
        thresholds: (labels,) probabilities from which a label is given.
    """

    estimator: Any
    labels: tuple[str, ...]
    temperatures: tuple[float, ...]
    thresholds: tuple[float, ...]

    @property
    def task(self) -> Multilabel:
        """What its scores mean."""
        return Multilabel(self.labels, self.thresholds)

    def scores(self, X: Matrix) -> np.ndarray:
        """Compute the calibrated log odds of every label: (rows, labels) float64. `X`: (rows, dim)."""
        with threadpool_limits(1):
            return np.asarray(log_odds(self.estimator, X) / np.array(self.temperatures))

    def outputs(self, X: Matrix) -> np.ndarray:
        """Compute the outputs of the task: (rows, labels, 2) float64. `X`: (rows, dim)."""
        return self.task.outputs(self.scores(X))

    def probabilities(self, X: Matrix) -> np.ndarray:
        """Compute the calibrated probability of every label: (rows, labels) float64. `X`: (rows, dim)."""
        return np.asarray(expit(self.scores(X)))

    def layer(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Give weight (labels, dim) and bias (labels,) of the linear layer that computes the scores, as of `Head`."""
        if not isinstance(self.estimator, list) or not all(hasattr(one, "coef_") for one in self.estimator):
            return None
        temperatures = np.array(self.temperatures)
        weight = np.stack([np.ravel(one.coef_) for one in self.estimator]).astype(np.float64)
        bias = np.array([np.ravel(one.intercept_)[0] for one in self.estimator], dtype=np.float64)
        return weight / temperatures[:, None], bias / temperatures

    def calibrated(self, temperatures: np.ndarray) -> "OneVsRest":
        """Divide the scores by these temperatures too, (labels,); the same labels are given as before."""
        return replace(
            self,
            temperatures=tuple((np.array(self.temperatures) * temperatures).tolist()),
            thresholds=self.task.calibrated(temperatures).thresholds,
        )


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
    with choosing.quietly():
        chosen, scores = _choose(X, Y, settings, groups)
        estimator = _fit(X, Y, chosen.by_label, settings)
    chosen = replace(chosen, threshold=settings.threshold)
    calibrate = settings.kind in choosing.KINDS_TO_CALIBRATE or settings.final == "all"
    temperatures, limits = np.ones(len(labels)), np.full(len(labels), thresholds.DEFAULT)
    if scores is not None:
        for label in range(len(labels)):
            judged = ~np.isnan(scores[:, label])
            column, has = scores[judged, label : label + 1], Y[judged, label : label + 1]
            if calibrate:
                temperatures[label] = calibration.fit_temperatures(column, has)[0]
            limits[label] = thresholds.choose(expit(column / temperatures[label]), has)[0]
    if settings.threshold != "auto":
        limits[:] = settings.threshold
    return OneVsRest(estimator, tuple(labels), tuple(temperatures.tolist()), tuple(limits.tolist())), chosen


def out_of_fold(X: Matrix, Y: np.ndarray, C: float, groups: np.ndarray | None = None) -> np.ndarray:
    """Compute the log odds of every row by logistic heads on the other folds: (rows, labels); NaN as in `_choose`.

    A head is fitted on about `choosing.MAX_OUT_OF_FOLD_ROWS` rows at most. `X` may be in float16.
    """
    settings = TrainHeadParams(C=(C,))
    with choosing.quietly():
        parts = folds.split(folds.rarest(Y), settings.folds, groups=groups)
        scores = _cross_validate(X, Y, parts, (C,), settings, most=choosing.MAX_OUT_OF_FOLD_ROWS)
    return np.asarray(scores[0])


def log_odds(estimator: Any, X: Matrix) -> np.ndarray:
    """Compute the log odds of every label before calibration: (rows, labels) float64."""
    if isinstance(estimator, KNeighborsClassifier):
        # One more vote for and against every label, as in `estimators.scores`.
        neighbors = estimator.kneighbors(X, return_distance=False)
        votes = estimators.neighbor_labels(estimator)[neighbors].sum(axis=1, dtype=np.float64)
        return np.asarray(np.log((votes + 1) / (estimator.n_neighbors - votes + 1)))
    columns = []
    for one in estimator:
        scores = estimators.scores(one, X)
        columns.append(scores[:, 1] - scores[:, 0])
    return np.stack(columns, axis=1)


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
