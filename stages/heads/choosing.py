"""Fit scikit-learn classifiers on frozen features, with the regularisation chosen by cross-validation.

Every head gives probabilities, softmax(scores / temperature). Heads without probabilities of their own get the
temperature that minimises the log loss of their out-of-fold scores (Guo et al. 2017, On Calibration of Modern Neural
Networks); the others keep temperature 1.
"""

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import threadpool_limits

from stages.common import threads
from stages.common.errors import HeadstartError
from stages.common.params import TrainHeadParams
from stages.heads import lbfgs
from stages.scores import calibration
from stages.tables.features import Matrix

LARGE = 5e7  # values of X times labels: with more, a sweep of logistic takes our solver, which is several times as fast
MAX_FIT_ROWS = 200_000  # that a head is fitted on in memory
NEEDS_CALIBRATION = ("linear_svm", "ridge")
USUAL_C = 10.0  # where there are too few rows to choose


@dataclass(frozen=True)
class Head:
    """A fitted classifier; `labels` are in the order of its scores."""

    estimator: Any
    labels: tuple[str, ...]
    temperature: float = 1.0

    def probabilities(self, X: Matrix) -> np.ndarray:
        """Probability of each label: (rows, labels) float64, rows sum to 1. `X`: (rows, dim)."""
        with threadpool_limits(1):
            return np.asarray(softmax(_scores(self.estimator, X) / self.temperature, axis=1))


@dataclass(frozen=True)
class Chosen:
    """What cross-validation found. `log_losses` and `accuracies` are those of the candidates, in their order."""

    parameter: str
    value: float
    candidates: tuple[float, ...]
    folds: int
    log_losses: tuple[float, ...] = ()
    accuracies: tuple[float, ...] = ()


def fit(X: Matrix, labels: np.ndarray, settings: TrainHeadParams) -> tuple[Head, Chosen]:
    """Fit a head on all rows, with the candidate whose out-of-fold log loss is lowest.

    Args:
        X: (rows, dim) float32.
        labels: (rows,) class names.

    Raises:
        HeadstartError: a class has too few rows for the cross-validation that the settings need.
    """
    names, y = np.unique(labels.astype(str), return_inverse=True)
    smallest = int(np.bincount(y).min())
    folds = min(settings.folds, smallest)
    parameter = "neighbors" if settings.kind == "knn" else "C"
    candidates: tuple[float, ...] = getattr(settings, parameter)
    if settings.kind == "knn":
        # A fold cannot ask for more neighbours than the other folds have rows.
        most = len(y) - -(-len(y) // folds) if folds > 1 else len(y)
        candidates = tuple(sorted({min(count, most) for count in settings.neighbors}))
    chosen = Chosen(parameter, candidates[0], candidates, folds=0)
    temperature = 1.0
    # One BLAS thread per fit: on small matrices, threads that wait for each other cost ten times the arithmetic.
    with threadpool_limits(1), warnings.catch_warnings():
        # The step limit of mlp is its early stopping, and no reason for a warning.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings(
            "ignore", "The number of unique classes"
        )  # many classes of few rows each are usual here
        if len(candidates) > 1 or settings.kind in NEEDS_CALIBRATION:
            if folds < 2:
                raise HeadstartError(
                    f"class {names[np.bincount(y).argmin()]} has {smallest} training row, but choosing"
                    f" train_head.{parameter} from {list(candidates)} for kind {settings.kind} needs 2 or more;"
                    f" label more rows, raise budget.per_class, or use kind logistic with a single value"
                )
            out_of_fold = _cross_validate(X, y, folds, candidates, settings)  # (candidates, rows, labels)
            fits = settings.kind in NEEDS_CALIBRATION
            temperatures = [calibration.fit_temperature(scores, y) if fits else 1.0 for scores in out_of_fold]
            losses = [calibration.log_loss(scores / t, y) for scores, t in zip(out_of_fold, temperatures, strict=True)]
            best = int(np.argmin(losses))
            temperature = temperatures[best]
            accuracies = [float((scores.argmax(axis=1) == y).mean()) for scores in out_of_fold]
            chosen = Chosen(parameter, candidates[best], candidates, folds, tuple(losses), tuple(accuracies))
        estimator = _fit(X, y, chosen.value, settings)
    return Head(estimator, tuple(names.tolist()), temperature), chosen


def fit_on_blocks(blocks: lbfgs.Blocks, labels: np.ndarray, near: Head, C: float, settings: TrainHeadParams) -> Head:
    """Fit a logistic head on rows that come in blocks.

    Args:
        blocks: parts of (rows, dim) float32, the same in every iteration.
        labels: (rows,) class names, the same ones as those of `near`.
        near: a logistic head on some of the rows, to start from.
    """
    y = np.searchsorted(np.array(near.labels), labels.astype(str))
    start = np.vstack([near.estimator.coef_.T, near.estimator.intercept_])
    solution = lbfgs.fit(blocks, y, C=C, weights=compute_sample_weight(settings.class_weight, y), start=start)
    return Head(_of_solution(_estimator(C, settings), solution), near.labels)


def logistic_head(X: Matrix, labels: np.ndarray, C: float | None = None) -> tuple[Head, float]:
    """A logistic head and its C: the given one, or chosen by cross-validation where there are rows for that."""
    if C is None:
        smallest = np.unique(labels.astype(str), return_counts=True)[1].min()
        settings = TrainHeadParams() if smallest > 1 else TrainHeadParams(C=(USUAL_C,))
    else:
        settings = TrainHeadParams(C=(C,))
    head, chosen = fit(X, labels, settings)
    return head, chosen.value


def out_of_fold(X: Matrix, labels: np.ndarray, C: float) -> np.ndarray:
    """Probabilities of each row by logistic heads on `MAX_FIT_ROWS` rows or less of other folds: (rows, labels).

    Every class needs two rows or more. The labels are in sorted order.
    """
    y = np.unique(labels.astype(str), return_inverse=True)[1]
    settings = TrainHeadParams(C=(C,))
    with threadpool_limits(1):
        scores = _cross_validate(X, y, min(settings.folds, int(np.bincount(y).min())), settings.C, settings)
    return np.asarray(softmax(scores[0], axis=1))


def sample_rows(order: np.ndarray, y: np.ndarray, least: int) -> np.ndarray:
    """Indices of `MAX_FIT_ROWS` rows, and of at least some of each class where there are as many, ascending.

    Args:
        order: (rows,) indices of all rows, those that are wanted most first.
        y: (rows,) labels.
        least: rows of each class.
    """
    if len(order) <= MAX_FIT_ROWS:
        return np.arange(len(order))
    names = y[order]
    by_class = np.argsort(names, kind="stable")
    place = np.arange(len(names)) - np.searchsorted(names[by_class], names[by_class])  # within its class
    return np.sort(order[np.union1d(np.arange(MAX_FIT_ROWS), by_class[place < least])])


def _estimator(value: float, settings: TrainHeadParams) -> Any:
    """`C` means the same in every kind: the weight of the rows against half the squared norm of the coefficients."""
    weight = settings.class_weight
    match settings.kind:
        case "logistic":
            return LogisticRegression(C=value, class_weight=weight, max_iter=1_000)
        case "linear_svm":
            return LinearSVC(C=value, class_weight=weight, max_iter=10_000, random_state=0)
        case "ridge":
            return RidgeClassifier(alpha=1 / (2 * value), class_weight=weight)
        case "knn":
            return KNeighborsClassifier(n_neighbors=int(value), algorithm="brute")
        case "mlp":
            return MLPClassifier((100,), alpha=1 / value, solver="lbfgs", max_iter=500, random_state=0)


def _fit(X: Matrix, y: np.ndarray, value: float, settings: TrainHeadParams, near: Any = None) -> Any:
    """Fit an estimator on rows `X` with label indices `y`; `near` is one for another value, which helps some kinds."""
    estimator = _estimator(value, settings)
    labels = int(y.max()) + 1
    # Of a sparse matrix, size counts the values that are stored.
    if settings.kind != "logistic" or labels == 2 or X.size * labels < LARGE:
        return estimator.fit(X, y)
    start = None if near is None else np.vstack([near.coef_.T, near.intercept_])
    weights = compute_sample_weight(settings.class_weight, y)
    return _of_solution(estimator, lbfgs.fit([X], y, C=value, weights=weights, start=start))


def _of_solution(estimator: LogisticRegression, solution: np.ndarray) -> LogisticRegression:
    """The estimator, fitted: `solution` as `lbfgs.fit` gives it."""
    estimator.coef_, estimator.intercept_ = np.ascontiguousarray(solution[:-1].T), solution[-1]
    estimator.classes_ = np.arange(max(2, solution.shape[1]))
    estimator.n_features_in_ = len(solution) - 1
    return estimator


def _cross_validate(
    X: Matrix, y: np.ndarray, folds: int, candidates: tuple[float, ...], settings: TrainHeadParams
) -> np.ndarray:
    """Out-of-fold scores of each candidate, fitted on at most `MAX_FIT_ROWS` rows: (candidates, rows, labels)."""
    out = np.empty((len(candidates), len(y), int(y.max()) + 1))

    def run(split: tuple[np.ndarray, np.ndarray]) -> None:
        training, held_out = split
        training = training[sample_rows(np.random.default_rng(0).permutation(len(training)), y[training], 1)]
        X_training, y_training, X_held_out = X[training], y[training], X[held_out]
        estimator = None
        for index in np.argsort(candidates):
            estimator = _fit(X_training, y_training, candidates[index], settings, estimator)
            out[index, held_out] = _scores(estimator, X_held_out)

    splits = StratifiedKFold(folds, shuffle=True, random_state=0).split(np.empty(len(y)), y)
    with ThreadPoolExecutor(threads.cores()) as pool:
        list(pool.map(run, splits))
    return out


def _scores(estimator: Any, X: Matrix) -> np.ndarray:
    """Scores whose softmax gives the probabilities, up to the temperature: (rows, labels) float64."""
    if isinstance(estimator, KNeighborsClassifier):
        # One imagined vote for each label (Laplace): k votes prove no probability of 0.
        votes = estimator.predict_proba(X) * estimator.n_neighbors
        return np.asarray(np.log((votes + 1) / (estimator.n_neighbors + votes.shape[1])))
    if isinstance(estimator, MLPClassifier):
        return np.asarray(np.log(np.maximum(estimator.predict_proba(X), np.finfo(np.float64).tiny)))
    decision = np.asarray(estimator.decision_function(X), dtype=np.float64)
    return np.stack([-decision, decision], axis=1) / 2 if decision.ndim == 1 else decision
