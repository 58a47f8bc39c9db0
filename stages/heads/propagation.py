"""Learn from unlabelled rows: guess their labels, and fit the head on labels and guesses alike.

Labels spread from row to row along a graph of nearest neighbours (Zhou et al. 2004, Learning with Local and Global
Consistency, by scikit-learn's LabelSpreading). A row's guess is the label with the largest product of what spread to it
and what the head that was fitted on labels alone says of it. It counts the less, the less sure it is.

Guesses are used only where out-of-fold rows, whose labels were hidden from graph and head, are predicted better beyond
chance: where classes are no clusters, guesses mislead, and a few labels cannot tell.
"""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import kneighbors_graph
from sklearn.preprocessing import normalize
from sklearn.semi_supervised import LabelSpreading
from threadpoolctl import threadpool_limits

from stages.common import threads
from stages.common.params import TrainHeadParams
from stages.heads import choosing, estimators, folds, halving
from stages.heads.choosing import Chosen
from stages.heads.folds import Fold
from stages.heads.head import Head
from stages.scores import calibration, proportions
from stages.tables import prepared
from stages.tables.features import Features, Matrix

NEIGHBORS = 10
SPREAD = 0.9  # share of a row's label that comes from its neighbours
STEPS = 50
LABEL_WEIGHT = 3.0  # a label counts for so many sure guesses
MAX_ROWS = 50_000  # to learn from: time grows with their square
MIN_SHARE = 1e-6  # a label that has not reached a row is not excluded
MIN_WIDTH = 1e-6


class Trial(NamedTuple):
    """What out-of-fold rows say of heads with and without guesses.

    Attributes:
        rows: unlabelled rows that were guessed.
        accuracy, log_loss: with guesses, out of fold, calibrated.
        accuracy_without, log_loss_without: by the head that was fitted on labels alone.
        is_used: whether the head learned from guesses: log loss is lower with them, beyond chance (95 %).
    """

    rows: int
    accuracy: float
    accuracy_without: float
    log_loss: float
    log_loss_without: float
    is_used: bool


def fit(
    train: Features, unlabelled: Features, plain: tuple[Head, Chosen], settings: TrainHeadParams
) -> tuple[tuple[Head, Chosen], Trial | None]:
    """Fit a head on labels and guesses, if that is better out of fold.

    Args:
        plain: the head that was fitted on the rows of `train` alone, and what was chosen.

    Returns:
        The better head with what was chosen, and the trial; None where there are no unlabelled rows, or too few
        labelled ones to hide some.
    """
    head, chosen = plain
    y = np.searchsorted(head.labels, train.labels.astype(str))
    parts = folds.split(y, settings.folds, groups=train.groups)
    rows = most(unlabelled.ids)
    if not len(rows) or not parts:
        return plain, None
    with threadpool_limits(1), warnings.catch_warnings():  # one thread: the same sums on every run
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes")  # as in choosing
        learner = Learner(train.X, y, unlabelled.X[rows], chosen.value, settings)
        scores = learner.out_of_fold(parts)
        judged = np.sort(np.concatenate([part.held_out for part in parts]))
        scores, truth = scores[:, judged], y[judged]
        has_probabilities = settings.kind not in choosing.KINDS_TO_CALIBRATE
        temperatures = [1.0 if has_probabilities else calibration.fit_temperature(part, truth) for part in scores[:-1]]
        losses, accuracies = choosing.judge(scores[:-1], temperatures, truth)
        best = int(np.argmin(losses))
        trial, temperature = _trial(len(rows), scores[[best, -1]], truth)
        if not trial.is_used:
            return plain, trial
        estimator = learner.fit(np.arange(len(y)), settings.C[best : best + 1])[0]
    chosen = Chosen("C", settings.C[best], settings.C, len(parts), losses, accuracies)
    if has_probabilities and settings.final != "all":
        temperature = 1.0
    return (Head(estimator, head.labels, temperature), chosen), trial


def _trial(rows: int, scores: np.ndarray, y: np.ndarray) -> tuple[Trial, float]:
    """Compare heads with and without guesses of `rows` rows.

    The log loss decides, since it tells more of few rows than accuracy does; calibrated, so that a head is not better
    for being less sure.

    Args:
        scores: (2, labelled rows, labels), out of fold; of the head with guesses first.
        y: (labelled rows,) label indices.

    Returns:
        The comparison, and the temperature of the head with guesses.
    """
    temperatures = [calibration.fit_temperature(part, y) for part in scores]
    with_guesses, without = (
        calibration.losses(part / temperature, y) for part, temperature in zip(scores, temperatures, strict=True)
    )
    difference = with_guesses - without
    error = float(difference.std(ddof=1)) / len(y) ** 0.5
    accuracy, accuracy_without = (scores.argmax(axis=2) == y).mean(axis=1).tolist()
    is_used = float(difference.mean()) < -proportions.Z * error
    trial = Trial(rows, accuracy, accuracy_without, float(with_guesses.mean()), float(without.mean()), is_used)
    return trial, temperatures[0]


def most(ids: np.ndarray) -> np.ndarray:
    """Return the rows to learn from, ascending indices: all, or the `MAX_ROWS` of the lowest hashes of their ids."""
    chosen = frozenset(prepared.sample_unlabelled(ids.tolist(), MAX_ROWS))
    return np.flatnonzero([row_id in chosen for row_id in ids])


class Learner:
    """Fits heads on chosen labelled rows and on what they say of all unlabelled ones."""

    def __init__(self, X: Matrix, y: np.ndarray, unlabelled: Matrix, C: float, settings: TrainHeadParams) -> None:
        """Link every row to its nearest neighbours.

        Args:
            X: (rows, dim) of labelled rows.
            y: (rows,) label indices.
            unlabelled: (unlabelled rows, dim)
            C: of the head that is fitted on labels alone.
        """
        self._X, self._y, self._unlabelled, self._C, self._settings = X, y, unlabelled, C, settings
        self._graph = graph(X, unlabelled)

    def out_of_fold(self, parts: Sequence[Fold]) -> np.ndarray:
        """Compute scores of the rows by heads of the other folds.

        Returns:
            (candidates of C + 1, rows, labels), the last without guesses; -inf for a class that a fold does not train
            on, NaN for rows that no fold judges, and for candidates that are clearly worse in the first fold.
        """
        C = np.array(self._settings.C)
        out = np.full((len(C) + 1, len(self._y), int(self._y.max()) + 1), np.nan)

        def run(part: Fold, candidates: np.ndarray) -> None:
            known, held_out = np.unique(self._y[part.training]), self._X[part.held_out]
            fitted = [*self.fit(part.training, C[candidates].tolist()), self._plain(part.training)]
            for index, estimator in zip([*candidates, len(C)], fitted, strict=True):
                out[index, part.held_out] = -np.inf
                out[index, part.held_out[:, None], known] = estimators.scores(estimator, held_out)

        first, *others = parts
        run(first, np.arange(len(C)))
        candidates = np.arange(len(C))
        if self._settings.kind not in choosing.KINDS_TO_CALIBRATE:
            candidates = np.flatnonzero(halving.survivors(out[:-1, first.held_out], self._y[first.held_out]))
        with ThreadPoolExecutor(threads.cores()) as pool:
            list(pool.map(lambda part: run(part, candidates), others))
        return out

    def fit(self, rows: np.ndarray, candidates: Sequence[float]) -> list[Any]:
        """Fit a classifier for every candidate of C on labelled rows, ascending indices, and on guesses."""
        y = np.unique(self._y[rows], return_inverse=True)[1]
        known = np.full(len(self._y), -1)
        known[rows] = self._y[rows]
        P = guesses(self._graph, known, softmax(estimators.scores(self._plain(rows), self._unlabelled), axis=1))
        X = _stacked(self._X[rows], self._unlabelled)
        y = np.concatenate([y, P.argmax(axis=1)])
        weights = np.concatenate([np.full(len(rows), LABEL_WEIGHT), P.max(axis=1)])
        fitted: dict[float, Any] = {}
        for C in sorted(candidates):  # the solution for one C is near that for the next
            fitted[C] = estimators.fit(
                X, y, C, self._settings, start=next(reversed(fitted.values()), None), weights=weights
            )
        return [fitted[C] for C in candidates]

    def _plain(self, rows: np.ndarray) -> Any:
        """Fit a classifier on labelled rows alone."""
        y = np.unique(self._y[rows], return_inverse=True)[1]
        return estimators.fit(self._X[rows], y, self._C, self._settings)


def guesses(graph: Any, y: np.ndarray, P: np.ndarray) -> np.ndarray:
    """Guess the unlabelled rows: probabilities of labels, (unlabelled rows, labels).

    Args:
        graph: of labelled rows and, after them, unlabelled ones.
        y: (labelled rows,) label indices; -1 where the label is hidden.
        P: (unlabelled rows, labels) what a classifier says of them; the labels are those in `y`, ascending.
    """
    known = np.concatenate([y, np.full(len(P), -1)])
    spreading = LabelSpreading(kernel=lambda *_: graph, alpha=SPREAD, max_iter=STEPS)
    with np.errstate(invalid="ignore", divide="ignore"):  # rows that no label reaches
        spreading.fit(np.zeros((len(known), 1)), known)
    reached = np.nan_to_num(spreading.label_distributions_[len(y) :])
    joined = np.sqrt(np.maximum(reached, MIN_SHARE) * P)
    return np.asarray(joined / joined.sum(axis=1, keepdims=True))


def graph(X: Matrix, unlabelled: Matrix) -> Any:
    """Give the weights of links between rows: (all rows, all rows), symmetric and sparse.

    A weight falls with the squared distance of the vectors, scaled to length 1: to 1/e at half of its median to the
    farthest of the neighbours.
    """
    every = _stacked(normalize(X), normalize(unlabelled))
    links = kneighbors_graph(every, min(NEIGHBORS, every.shape[0] - 1), mode="distance")
    squared = links.data**2
    farthest = squared.reshape(every.shape[0], -1).max(axis=1)
    links.data = np.exp(-squared / max(float(np.median(farthest)) / 2, MIN_WIDTH))
    return links.maximum(links.T)


def _stacked(first: Matrix, second: Matrix) -> Matrix:
    """Put the rows of one matrix after those of another."""
    return sparse.vstack([first, second], format="csr") if sparse.issparse(first) else np.concatenate([first, second])
