"""Fit a head on frozen features, and choose its regularisation by cross-validation.

A head gives softmax(scores / temperature). Kinds without probabilities of their own, and heads that leave no validation
rows to calibrate on, get the temperature that minimises the log loss of their out-of-fold scores (Guo et al. 2017, On
Calibration of Modern Neural Networks); the others keep 1.
"""

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from stages.common import threads
from stages.common.errors import HeadstartError
from stages.common.params import TrainHeadParams
from stages.heads import estimators, folds, halving, lbfgs
from stages.heads.head import Head
from stages.scores import calibration
from stages.tables.features import Matrix

MAX_FIT_ROWS = 200_000  # rows of one fit in memory
MAX_OUT_OF_FOLD_ROWS = 20_000  # of one fit whose probabilities only tell which labels are doubtful
MAX_SCORED_ROWS = 16_384  # copied at a time
DEFAULT_C = 10.0  # without a cross-validation
KINDS_TO_CALIBRATE = ("linear_svm", "ridge")


@dataclass(frozen=True)
class Chosen:
    """The result of a cross-validation: `log_losses` and `accuracies` are in the order of `candidates`.

    Those of candidates that were left out after the first fold are estimates (`halving.completed`).

    Without one, as for a single candidate, `folds` is 0 and there are no losses.
    """

    parameter: str
    value: float
    candidates: tuple[float, ...]
    folds: int
    log_losses: tuple[float, ...] = ()
    accuracies: tuple[float, ...] = ()


def fit(
    X: Matrix, labels: np.ndarray, settings: TrainHeadParams, groups: np.ndarray | None = None
) -> tuple[Head, Chosen]:
    """Fit a head on all rows, with the candidate of the lowest out-of-fold log loss.

    The cross-validation leaves out classes of a single row or group, which cannot be in two folds. If it leaves fewer
    than two classes, there is none.

    Args:
        X: (rows, dim) float32.
        labels: (rows,) class names.
        groups: (rows,) names; the cross-validation keeps the rows of a group in one fold.
    """
    names, y = np.unique(labels.astype(str), return_inverse=True)
    with quietly():
        chosen, temperature = _choose(X, y, settings, groups)
        estimator = estimators.fit(X, y, chosen.value, settings)
    return Head(estimator, tuple(names.tolist()), temperature), chosen


@contextmanager
def quietly() -> Iterator[None]:
    """Fit on one BLAS thread, without warnings."""
    # On small matrices, threads that wait for each other cost ten times the arithmetic.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the step limit of mlp is its early stopping
        warnings.filterwarnings("ignore", "The number of unique classes")  # many classes of few rows are usual here
        yield


@contextmanager
def side_by_side() -> Iterator[ThreadPoolExecutor]:
    """Yield threads that may call `fit` at the same time: what a fit sets and resets is set before all of them."""
    with quietly(), ThreadPoolExecutor(threads.cores()) as pool:
        yield pool


def logistic_head(X: Matrix, labels: np.ndarray, C: float | None = None) -> tuple[Head, float]:
    """Fit a logistic head; without `C`, choose it as `fit` does.

    Returns:
        The head and its C.
    """
    head, chosen = fit(X, labels, TrainHeadParams() if C is None else TrainHeadParams(C=(C,)))
    return head, chosen.value


def out_of_fold(X: Matrix, labels: np.ndarray, C: float, groups: np.ndarray | None = None) -> np.ndarray:
    """Compute the probabilities of every row by a logistic head on the other folds: (rows, labels), labels sorted.

    Every class needs two rows or groups or more. A head is fitted on at most about `MAX_OUT_OF_FOLD_ROWS` rows.

    Args:
        X: (rows, dim) float32 or float16, of which small parts at a time become float32.
        groups: (rows,) names, as for `fit`. Rows that no fold judges, since only their fold has their class, get NaN.
    """
    y = np.unique(labels.astype(str), return_inverse=True)[1]
    settings = TrainHeadParams(C=(C,))
    count = min(int(folds.units(y, groups).min()), folds.fewest(len(y), MAX_OUT_OF_FOLD_ROWS))
    return np.asarray(softmax(out_of_fold_scores(X, y, C, settings, groups, count=count), axis=1))


def out_of_fold_scores(
    X: Matrix,
    y: np.ndarray,
    value: float,
    settings: TrainHeadParams,
    groups: np.ndarray | None = None,
    *,
    count: int | None = None,
) -> np.ndarray:
    """Compute the scores of every row by a head on the other folds, as `out_of_fold` does: (rows, labels).

    A class that the fold of a row does not train on gets -inf, and a row that no fold judges NaN.

    Args:
        y: (rows,) label indices.
        value: C, or the number of neighbours.
        count: the most folds, if there are to be fewer than `settings.folds`.
    """
    parts = folds.split(y, min(settings.folds, count or settings.folds), groups=groups)
    if not parts:
        return np.full((len(y), int(y.max()) + 1), np.nan)
    value = min(value, *(len(part.training) for part in parts)) if settings.kind == "knn" else value
    with quietly():
        scores: np.ndarray = _cross_validate(X, y, parts, (value,), settings, most=MAX_OUT_OF_FOLD_ROWS)[0]
    return scores


def cross_validated(X: Matrix, labels: np.ndarray, groups: np.ndarray | None = None) -> tuple[np.ndarray, Chosen]:
    """Choose a logistic head as `fit` does, and compute its out-of-fold predictions, without fitting it on all rows.

    Args:
        X: (rows, dim) float32.
        labels: (rows,) class names, two or more, of two rows or groups or more.
        groups: (rows,) names, as for `fit`.

    Returns:
        (judged rows,) bool, true where the prediction is right, of all rows without groups; and what was chosen.

    Raises:
        HeadstartError: the groups cannot be divided into folds that train on two classes.
    """
    settings = TrainHeadParams()
    y = np.unique(labels.astype(str), return_inverse=True)[1]
    parts = folds.split(y, min(settings.folds, int(folds.units(y, groups).min())), groups=groups)
    if not parts:
        raise HeadstartError("the groups cannot be divided into folds of two classes; label rows of more groups")
    with threadpool_limits(1):
        by_candidate = _cross_validate(X, y, parts, settings.C, settings, most=MAX_FIT_ROWS)
    judged = held_out_rows(parts)
    by_candidate, y = by_candidate[:, judged], y[judged]
    losses, accuracies = judge(by_candidate, [1.0] * len(by_candidate), y)
    best = int(np.argmin(losses))
    right = by_candidate[best].argmax(axis=1) == y
    return right, Chosen("C", settings.C[best], settings.C, len(parts), losses, accuracies)


def sample_rows(order: np.ndarray, y: np.ndarray, *, most: int, least: int) -> np.ndarray:
    """Take the first `most` rows of `order`, and the first `least` rows of every class: ascending indices.

    Args:
        order: (rows,) a permutation of the row indices.
        y: (rows,) labels.
    """
    if len(order) <= most:
        return np.arange(len(order))
    labels = y[order]
    by_class = np.argsort(labels, kind="stable")
    rank = np.arange(len(labels)) - np.searchsorted(labels[by_class], labels[by_class])  # within the class, from 0
    return np.sort(order[np.union1d(np.arange(most), by_class[rank < least])])


def _choose(X: Matrix, y: np.ndarray, settings: TrainHeadParams, groups: np.ndarray | None) -> tuple[Chosen, float]:
    """Choose among the candidates, and give the temperature of the chosen one."""
    sizes = folds.units(y, groups)
    rows = np.flatnonzero(sizes[y] > 1)  # of classes that can be divided into folds
    parts: list[folds.Fold] = []
    if len(np.unique(y[rows])) > 1:
        count = min(settings.folds, int(sizes[sizes > 1].min()))
        parts = folds.split(np.unique(y[rows], return_inverse=True)[1], count, groups=folds.select(groups, rows))
    parameter = "neighbors" if settings.kind == "knn" else "C"
    candidates = candidates_within(min((len(part.training) for part in parts), default=len(y)), settings)
    calibrate = settings.kind in KINDS_TO_CALIBRATE
    takes_all = settings.final == "all"
    if not parts or (len(candidates) == 1 and not calibrate and not takes_all):
        return Chosen(parameter, default_value(parameter, candidates), candidates, folds=0), 1.0
    if len(rows) < len(y):
        X, y = X[rows], np.unique(y[rows], return_inverse=True)[1]
    by_candidate = _cross_validate(X, y, parts, candidates, settings, most=MAX_FIT_ROWS, is_trial=not takes_all)
    if len(judged := held_out_rows(parts)) < len(y):
        by_candidate, y = by_candidate[:, judged], y[judged]
    temperatures = [calibration.fit_temperature(scores, y) if calibrate else 1.0 for scores in by_candidate]
    losses, accuracies = judge(by_candidate, temperatures, y)
    best = int(np.argmin(losses))
    if takes_all and not calibrate and len(y) >= calibration.MIN_CALIBRATION_ROWS:
        temperatures[best] = calibration.fit_temperature(by_candidate[best], y)
    return Chosen(parameter, candidates[best], candidates, len(parts), losses, accuracies), temperatures[best]


def judge(
    by_candidate: np.ndarray, temperatures: Sequence[float], y: np.ndarray
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Compute log loss and accuracy of every candidate; of those that were left out early, estimates.

    Args:
        by_candidate: (candidates, rows, labels) scores, NaN in rows that a candidate did not judge.
        temperatures: one for every candidate.
        y: (rows,) label indices.
    """
    losses = np.stack(  # (candidates, rows)
        [calibration.losses(scores / t, y) for scores, t in zip(by_candidate, temperatures, strict=True)]
    )
    right = np.where(np.isnan(losses), np.nan, by_candidate.argmax(axis=2) == y)
    return tuple(halving.completed(losses).tolist()), tuple(halving.completed(right).tolist())


def candidates_within(rows: int, settings: TrainHeadParams) -> tuple[float, ...]:
    """List the values of C, or for knn the numbers of neighbours, cut to the `rows` of the smallest training."""
    if settings.kind != "knn":
        return settings.C
    return tuple(sorted({min(neighbors, rows) for neighbors in settings.neighbors}))


def single(X: Matrix, rows: np.ndarray) -> Matrix:
    """Copy chosen rows in float32, whatever type X has in memory."""
    return X[rows].astype(np.float32, copy=False)


def default_value(parameter: str, candidates: Sequence[float]) -> float:
    """Return the candidate that is taken without a cross-validation."""
    return DEFAULT_C if parameter == "C" and DEFAULT_C in candidates else candidates[0]


def held_out_rows(parts: Sequence[folds.Fold]) -> np.ndarray:
    """List the rows that are judged on in any fold, ascending."""
    return np.sort(np.concatenate([part.held_out for part in parts]))


def _cross_validate(
    X: Matrix,
    y: np.ndarray,
    parts: Sequence[folds.Fold],
    candidates: tuple[float, ...],
    settings: TrainHeadParams,
    *,
    most: int,
    is_trial: bool = False,
) -> np.ndarray:
    """Compute the out-of-fold scores by every candidate, fitted on about `most` rows at most.

    `is_trial`: the scores only compare the candidates, as `estimators.fit` has it.

    Returns:
        (candidates, rows, labels) float64; -inf for a class that the fold of a row does not train on; NaN for rows that
        no fold judges, and for candidates that are left out after the first fold.
    """
    out = np.full((len(candidates), len(y), int(y.max()) + 1), np.nan)
    is_large = estimators.is_for_lbfgs(len(y), settings)
    moments = lbfgs.second_moments(X) if is_large else None
    ascending = np.argsort(candidates)  # the solution for one C is near that for the next

    def run(part: folds.Fold) -> None:
        training, held_out = part.training, part.held_out
        order = np.random.default_rng(0).permutation(len(training))
        training = training[sample_rows(order, y[training], most=most, least=1)]
        known, y_training = np.unique(y[training], return_inverse=True)
        X_training, estimator = single(X, training), None
        out[ascending[:, None], held_out] = -np.inf
        for index in ascending:
            estimator = estimators.fit(
                X_training, y_training, candidates[index], settings, start=estimator, moments=moments, is_trial=is_trial
            )
            for first in range(0, len(held_out), MAX_SCORED_ROWS):
                rows = held_out[first : first + MAX_SCORED_ROWS]
                out[index, rows[:, None], known] = estimators.scores(estimator, single(X, rows))

    if is_large and len(candidates) > 1:
        run(parts[0])
        judged = parts[0].held_out
        ascending = ascending[halving.survivors(out[ascending[:, None], judged], y[judged])]
        parts = parts[1:]
    with ThreadPoolExecutor(threads.cores()) as pool:
        list(pool.map(run, parts))
    return out
