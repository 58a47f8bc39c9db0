"""Fit a head on frozen features, and choose its regularisation by cross-validation.

A head gives softmax(scores / temperature). Kinds without probabilities of their own get the temperature that minimises
the log loss of their out-of-fold scores (Guo et al. 2017, On Calibration of Modern Neural Networks); the others keep 1.
"""

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from stages.common import threads
from stages.common.errors import HeadstartError
from stages.common.params import TrainHeadParams
from stages.heads import estimators
from stages.heads.head import Head
from stages.scores import calibration
from stages.tables.features import Matrix

MAX_FIT_ROWS = 200_000  # rows of one fit in memory
DEFAULT_C = 10.0  # where a class has too few rows for a cross-validation
KINDS_TO_CALIBRATE = ("linear_svm", "ridge")


@dataclass(frozen=True)
class Chosen:
    """The result of a cross-validation: `log_losses` and `accuracies` are in the order of `candidates`."""

    parameter: str
    value: float
    candidates: tuple[float, ...]
    folds: int
    log_losses: tuple[float, ...] = ()
    accuracies: tuple[float, ...] = ()


def fit(X: Matrix, labels: np.ndarray, settings: TrainHeadParams) -> tuple[Head, Chosen]:
    """Fit a head on all rows, with the candidate of the lowest out-of-fold log loss.

    Args:
        X: (rows, dim) float32.
        labels: (rows,) class names.

    Raises:
        HeadstartError: a class has too few rows for the cross-validation that the settings need.
    """
    names, y = np.unique(labels.astype(str), return_inverse=True)
    # One BLAS thread per fit: on small matrices, threads that wait for each other cost ten times the arithmetic.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the step limit of mlp is its early stopping
        warnings.filterwarnings("ignore", "The number of unique classes")  # many classes of few rows are usual here
        chosen, temperature = _choose(X, y, names, settings)
        estimator = estimators.fit(X, y, chosen.value, settings)
    return Head(estimator, tuple(names.tolist()), temperature), chosen


def logistic_head(X: Matrix, labels: np.ndarray, C: float | None = None) -> tuple[Head, float]:
    """Fit a logistic head; without `C`, choose it by cross-validation if every class has two rows or more.

    Returns:
        The head and its C.
    """
    if C is None:
        smallest = np.unique(labels.astype(str), return_counts=True)[1].min()
        settings = TrainHeadParams() if smallest > 1 else TrainHeadParams(C=(DEFAULT_C,))
    else:
        settings = TrainHeadParams(C=(C,))
    head, chosen = fit(X, labels, settings)
    return head, chosen.value


def out_of_fold(X: Matrix, labels: np.ndarray, C: float) -> np.ndarray:
    """Compute the probabilities of every row by a logistic head on the other folds: (rows, labels), labels sorted.

    Every class needs two rows or more. A head is fitted on at most about `MAX_FIT_ROWS` rows.
    """
    y = np.unique(labels.astype(str), return_inverse=True)[1]
    settings = TrainHeadParams(C=(C,))
    with threadpool_limits(1):
        scores = _cross_validate(X, y, min(settings.folds, int(np.bincount(y).min())), settings.C, settings)
    return np.asarray(softmax(scores[0], axis=1))


def sample_rows(order: np.ndarray, y: np.ndarray, least: int) -> np.ndarray:
    """Take the first `MAX_FIT_ROWS` rows of `order`, and the first `least` rows of every class: ascending indices.

    Args:
        order: (rows,) a permutation of the row indices.
        y: (rows,) labels.
    """
    if len(order) <= MAX_FIT_ROWS:
        return np.arange(len(order))
    labels = y[order]
    by_class = np.argsort(labels, kind="stable")
    rank = np.arange(len(labels)) - np.searchsorted(labels[by_class], labels[by_class])  # within the class, from 0
    return np.sort(order[np.union1d(np.arange(MAX_FIT_ROWS), by_class[rank < least])])


def _choose(X: Matrix, y: np.ndarray, names: np.ndarray, settings: TrainHeadParams) -> tuple[Chosen, float]:
    """Choose among the candidates, and give the temperature of the chosen one."""
    class_sizes = np.bincount(y)
    folds = min(settings.folds, int(class_sizes.min()))
    parameter = "neighbors" if settings.kind == "knn" else "C"
    candidates = _candidates(len(y), folds, settings)
    calibrate = settings.kind in KINDS_TO_CALIBRATE
    if len(candidates) == 1 and not calibrate:
        return Chosen(parameter, candidates[0], candidates, folds=0), 1.0
    if folds < 2:
        raise HeadstartError(
            f"class {names[class_sizes.argmin()]} has {class_sizes.min()} training row, but choosing"
            f" train_head.{parameter} from {list(candidates)} for kind {settings.kind} needs 2 or more;"
            f" label more rows, raise budget.per_class, or use kind logistic with a single value"
        )
    by_candidate = _cross_validate(X, y, folds, candidates, settings)  # (candidates, rows, labels)
    temperatures = [calibration.fit_temperature(scores, y) if calibrate else 1.0 for scores in by_candidate]
    losses = [calibration.log_loss(scores / t, y) for scores, t in zip(by_candidate, temperatures, strict=True)]
    accuracies = [float((scores.argmax(axis=1) == y).mean()) for scores in by_candidate]
    best = int(np.argmin(losses))
    chosen = Chosen(parameter, candidates[best], candidates, folds, tuple(losses), tuple(accuracies))
    return chosen, temperatures[best]


def _candidates(rows: int, folds: int, settings: TrainHeadParams) -> tuple[float, ...]:
    """List the values of C, or for knn the numbers of neighbours, cut to the training rows of a fold."""
    if settings.kind != "knn":
        return settings.C
    largest_fold = -(-rows // folds) if folds > 1 else 0
    return tuple(sorted({min(neighbors, rows - largest_fold) for neighbors in settings.neighbors}))


def _cross_validate(
    X: Matrix, y: np.ndarray, folds: int, candidates: tuple[float, ...], settings: TrainHeadParams
) -> np.ndarray:
    """Compute the out-of-fold scores by every candidate, fitted on about `MAX_FIT_ROWS` rows at most.

    Returns:
        (candidates, rows, labels) float64
    """
    out = np.empty((len(candidates), len(y), int(y.max()) + 1))

    def run(split: tuple[np.ndarray, np.ndarray]) -> None:
        training, held_out = split
        order = np.random.default_rng(0).permutation(len(training))
        training = training[sample_rows(order, y[training], least=1)]
        X_training, y_training, X_held_out = X[training], y[training], X[held_out]
        for index, value in enumerate(candidates):
            estimator = estimators.fit(X_training, y_training, value, settings)
            out[index, held_out] = estimators.scores(estimator, X_held_out)

    splits = StratifiedKFold(folds, shuffle=True, random_state=0).split(np.empty(len(y)), y)
    with ThreadPoolExecutor(threads.cores()) as pool:
        list(pool.map(run, splits))
    return out
