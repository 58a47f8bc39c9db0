"""Fit a head for ordered labels: one weight vector, and a threshold between neighbouring labels.

That is the proportional-odds model (McCullagh 1980, Regression Models for Ordinal Data): the log odds that a label is
above the k-th are x·w + b_k. It is fitted in the all-threshold form, by the sum of the log losses of these decisions
(Rennie and Srebro 2005, Loss Functions for Preference Levels), which is convex, and whose thresholds are in order. For
two labels it is scikit-learn's LogisticRegression.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import threadpool_limits

from stages.common.params import TrainHeadParams
from stages.heads import choosing, folds, lbfgs
from stages.heads.choosing import Chosen
from stages.heads.head import Head
from stages.scores import metrics
from stages.tables.features import Matrix
from stages.tasks.ordinal import Ordinal

FAR = 20.0  # score of a threshold that no row is below
TOLERANCE = 1e-7  # largest gradient of the mean loss, in the coordinates of the steps


@dataclass(frozen=True)
class OrderedHead(Head):
    """A fitted proportional-odds model: `coef_` is (1, dim), and `intercept_` (labels - 1,). `labels`: low to high."""

    @property
    def task(self) -> Ordinal:
        """What its scores mean."""
        return Ordinal(self.labels)

    def scores(self, X: Matrix) -> np.ndarray:
        """Compute the calibrated scores: (rows, labels - 1) float64. `X`: (rows, dim)."""
        with threadpool_limits(1):
            return np.asarray(_scores(self.estimator, X) / self.temperature)

    def calibration_scores(self, X: Matrix) -> np.ndarray:
        """Compute what a further temperature divides: the scores. `X`: (rows, dim)."""
        return self.scores(X)

    def layer(self) -> tuple[np.ndarray, np.ndarray]:
        """Give weight (labels - 1, dim), the same row for all, and bias (labels - 1,), as `Head.layer`."""
        bias = np.asarray(self.estimator.intercept_, dtype=np.float64) / self.temperature
        weight = np.asarray(self.estimator.coef_, dtype=np.float64) / self.temperature
        return np.repeat(weight, len(bias), axis=0), bias


def fit(
    X: Matrix, y: np.ndarray, task: Ordinal, settings: TrainHeadParams, groups: np.ndarray | None = None
) -> tuple[OrderedHead, Chosen]:
    """Fit a head on all rows, with the C of the lowest out-of-fold log loss, as `choosing.fit` does.

    C is chosen by heads on at most about `choosing.MAX_OUT_OF_FOLD_ROWS` rows.

    Args:
        X: (rows, dim) float32.
        y: (rows,) label indices.
        groups: (rows,) names; the cross-validation keeps the rows of a group in one fold.
    """
    temperature = 1.0
    chosen = Chosen("C", choosing.default_value("C", settings.C), settings.C, folds=0)
    parts = folds.split(y, settings.folds, groups=groups)
    with choosing.quietly():
        if parts and (len(settings.C) > 1 or settings.final == "all"):
            judged = choosing.held_out_rows(parts)
            by_candidate = _cross_validate(X, y, task, parts=parts, candidates=settings.C, settings=settings)[:, judged]
            outputs = [task.outputs(scores) for scores in by_candidate]
            losses = tuple(float(metrics.losses(y[judged], P).mean()) for P in outputs)
            accuracies = tuple(float(task.is_right(y[judged], P).mean()) for P in outputs)
            best = int(np.argmin(losses))
            chosen = Chosen("C", settings.C[best], settings.C, len(parts), losses, accuracies)
            if settings.final == "all":
                temperature = float(task.calibration(by_candidate[best], y[judged], "own")[0])
        estimator = fit_estimator(X, y, len(task.labels), C=chosen.value, settings=settings)
    return OrderedHead(estimator, task.labels, temperature), chosen


def out_of_fold_scores(
    X: Matrix, y: np.ndarray, task: Ordinal, *, C: float, settings: TrainHeadParams, groups: np.ndarray | None = None
) -> np.ndarray:
    """Compute the scores of every row by a head on the other folds: (rows, labels - 1); NaN where no fold judges it."""
    with choosing.quietly():
        parts = folds.split(y, settings.folds, groups=groups)
        scores: np.ndarray = _cross_validate(X, y, task, parts=parts, candidates=(C,), settings=settings)[0]
    return scores


def fit_estimator(
    X: Matrix,
    y: np.ndarray,
    labels: int,
    *,
    C: float,
    settings: TrainHeadParams,
    start: LogisticRegression | None = None,
) -> LogisticRegression:
    """Minimise C · sum(weights · losses of all thresholds) + ||coefficients||² / 2.

    A threshold below or above all rows cannot be fitted, and gets the score `FAR` or -`FAR`.

    Args:
        X: (rows, dim) float32.
        y: (rows,) label indices.
        labels: number of labels; rows need not have all.
        start: the solution for another C.

    Returns:
        An estimator that holds the numbers of an `OrderedHead`.
    """
    weights = compute_sample_weight(settings.class_weight, y)
    share, decay = weights / weights.sum(), 1 / (C * weights.sum())
    above = y[:, None] > np.arange(labels - 1)  # (rows, labels - 1)
    shares = share @ above  # of rows above every threshold
    free = np.flatnonzero(above.any(axis=0) & ~above.all(axis=0))
    bias = np.where(above.all(axis=0), FAR, -FAR)
    spreads = shares[free] * (1 - shares[free])
    factor = lbfgs.factor(lbfgs.second_moments(X) * spreads.sum(), decay)
    blocks, dim = lbfgs.blocks(X), X.shape[1]

    def unpack(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        w = lbfgs.solve(factor, flat[: dim + 1, None], trans="T")[:, 0]
        return w, w[-1] + flat[dim + 1 :] / np.sqrt(spreads)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w, thresholds = unpack(flat)
        value, row = decay / 2 * float(w[:-1] @ w[:-1]), 0
        by_weight, by_threshold = np.append(decay * w[:-1], 0), np.zeros(len(free))
        for block in blocks:
            rows = slice(row, row := row + block.shape[0])
            scores = (block @ w[:-1])[:, None] + thresholds
            truth = above[rows][:, free]
            value += float(share[rows] @ np.logaddexp(0, np.where(truth, -scores, scores)).sum(axis=1))
            slopes = share[rows, None] * (expit(scores) - truth)
            by_weight[:-1] += block.T @ slopes.sum(axis=1)
            by_threshold += slopes.sum(axis=0)
        by_weight[-1] = by_threshold.sum()
        return value, np.concatenate([lbfgs.solve(factor, by_weight[:, None])[:, 0], by_threshold / np.sqrt(spreads)])

    first = np.zeros(dim + 1 + len(free))
    if start is not None:
        whole = np.append(start.coef_[0], 0.0)[:, None].astype(np.float64)
        first[: dim + 1] = (factor[:, None] * whole if factor.ndim == 1 else factor.T @ whole)[:, 0]
        first[dim + 1 :] = start.intercept_[free] * np.sqrt(spreads)
    options = {"maxiter": lbfgs.MAX_STEPS, "maxls": 50, "gtol": TOLERANCE, "ftol": 1e-13}
    w, bias[free] = unpack(minimize(loss, first, jac=True, method="L-BFGS-B", options=options).x)
    return estimator_from(w[:-1][None], bias)


def estimator_from(weight: np.ndarray, bias: np.ndarray) -> LogisticRegression:
    """Hold the numbers of an `OrderedHead`: weight (1, dim) and bias (labels - 1,)."""
    estimator = LogisticRegression()
    estimator.coef_, estimator.intercept_ = weight, bias
    estimator.classes_, estimator.n_features_in_ = np.arange(len(bias) + 1), weight.shape[1]
    return estimator


def _scores(estimator: LogisticRegression, X: Matrix) -> np.ndarray:
    return np.asarray((X @ estimator.coef_[0])[:, None] + estimator.intercept_)


def _cross_validate(
    X: Matrix,
    y: np.ndarray,
    task: Ordinal,
    *,
    parts: Sequence[folds.Fold],
    candidates: Sequence[float],
    settings: TrainHeadParams,
) -> np.ndarray:
    """Compute the out-of-fold scores by every candidate: (candidates, rows, labels - 1); NaN where no fold judges."""
    out = np.full((len(candidates), len(y), len(task.labels) - 1), np.nan)
    for part in parts:
        order = np.random.default_rng(0).permutation(len(part.training))
        training = part.training[
            choosing.sample_rows(order, y[part.training], most=choosing.MAX_OUT_OF_FOLD_ROWS, least=1)
        ]
        X_training, X_judged, estimator = choosing.single(X, training), choosing.single(X, part.held_out), None
        for index in np.argsort(candidates):  # the solution for one C is near that for the next
            estimator = fit_estimator(
                X_training, y[training], len(task.labels), C=candidates[index], settings=settings, start=estimator
            )
            out[index, part.held_out] = _scores(estimator, X_judged)
    return out
