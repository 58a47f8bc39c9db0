"""Fit a head for numbers: ridge regression of standardised numbers on the features."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from stages.common.params import TrainHeadParams
from stages.heads import certainty, choosing, folds
from stages.heads.choosing import Chosen
from stages.tables.features import Matrix
from stages.tasks.regression import Regression


@dataclass(frozen=True)
class ChosenNumber(Chosen):
    """As `Chosen`, but of numbers: `squared_errors` are means of standardised numbers, in the order of `candidates`."""

    squared_errors: tuple[float, ...] = ()


@dataclass(frozen=True)
class NumberHead:
    """A fitted ridge regression of standardised numbers: `coef_` is (1, dim), and `intercept_` (1,)."""

    estimator: Ridge
    task: Regression

    @property
    def labels(self) -> tuple[str, ...]:
        """No labels."""
        return self.task.labels

    def scores(self, X: Matrix) -> np.ndarray:
        """Compute the scores, standardised numbers: (rows, 1) float64. `X`: (rows, dim)."""
        with threadpool_limits(1):
            return np.asarray(X @ self.estimator.coef_.T + self.estimator.intercept_)

    def outputs(self, X: Matrix) -> np.ndarray:
        """Compute the numbers that are predicted: (rows, 1) float64. `X`: (rows, dim)."""
        return self.task.outputs(self.scores(X))

    def layer(self) -> tuple[np.ndarray, np.ndarray]:
        """Give weight (1, dim) and bias (1,) of the linear layer that computes the scores."""
        return self.estimator.coef_, self.estimator.intercept_


def fit(
    X: Matrix, T: np.ndarray, settings: TrainHeadParams, groups: np.ndarray | None = None
) -> tuple[NumberHead, ChosenNumber]:
    """Fit a head on all rows, with the C of the lowest out-of-fold squared error.

    C weighs the squared errors against half the squared coefficients, as in the other heads. It is chosen by heads on
    at most `choosing.MAX_FIT_ROWS` rows.

    Args:
        X: (rows, dim) float32.
        T: (rows,) numbers.
        groups: (rows,) names; the cross-validation keeps the rows of a group in one fold.
    """
    task = Regression.from_numbers(T)
    y = task.standardised(T)[:, 0]
    chosen = ChosenNumber("C", choosing.default_value("C", settings.C), settings.C, folds=0)
    parts = _split(T, settings, groups)
    with choosing.quietly():
        if parts and len(settings.C) > 1:
            judged = choosing.held_out_rows(parts)
            by_candidate = _cross_validate(X, y, parts, settings.C)[judged]  # (judged rows, candidates)
            errors = tuple(((by_candidate - y[judged, None]) ** 2).mean(axis=0).tolist())
            best = int(np.argmin(errors))
            chosen = ChosenNumber("C", settings.C[best], settings.C, len(parts), squared_errors=errors)
        weight, bias = _solve(X, y, (chosen.value,))
    return NumberHead(estimator_from(weight, bias), task), chosen


def out_of_fold(
    X: Matrix, T: np.ndarray, C: float, settings: TrainHeadParams, groups: np.ndarray | None = None
) -> np.ndarray:
    """Predict the number of every row by a head on the other folds: (rows, 1); NaN where no fold judges it."""
    parts, task = _split(T, settings, groups), Regression.from_numbers(T)
    with choosing.quietly():
        return task.outputs(_cross_validate(X, task.standardised(T)[:, 0], parts, (C,)))


def estimator_from(weight: np.ndarray, bias: np.ndarray) -> Ridge:
    """Hold the numbers of a `NumberHead`: weight (1, dim) and bias (1,)."""
    estimator = Ridge()
    estimator.coef_, estimator.intercept_, estimator.n_features_in_ = weight, bias, weight.shape[1]
    return estimator


def _split(T: np.ndarray, settings: TrainHeadParams, groups: np.ndarray | None) -> list[folds.Fold]:
    return folds.split(folds.number_strata(T), settings.folds, groups=groups, are_classes=False)


def _solve(X: Matrix, y: np.ndarray, values: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Fit ridge regressions with several C, of which the products of features are computed once, in float64.

    Returns:
        weight (values, dim) and bias (values,).
    """
    targets = np.repeat(y[:, None], len(values), axis=1)
    alphas = 1 / (2 * np.array(values))
    ridge = Ridge(alpha=alphas, copy_X=False, tol=1e-8).fit(X.astype(np.float64), targets)
    return np.atleast_2d(ridge.coef_), np.atleast_1d(ridge.intercept_)


def _cross_validate(X: Matrix, y: np.ndarray, parts: Sequence[folds.Fold], values: Sequence[float]) -> np.ndarray:
    """Compute the out-of-fold scores by every C: (rows, values); NaN where no fold judges a row."""
    out = np.full((len(y), len(values)), np.nan)
    for part in parts:
        training = part.training[certainty.sample(len(part.training), choosing.MAX_FIT_ROWS)]
        weight, bias = _solve(X[training], y[training], values)
        out[part.held_out] = np.asarray(X[part.held_out] @ weight.T) + bias
    return out
