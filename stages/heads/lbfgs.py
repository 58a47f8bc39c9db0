"""Fit multinomial logistic regression by L-BFGS in float32 on rows that come in blocks.

scikit-learn's LogisticRegression finds the same minimum, but needs all rows in memory. Where they fit, it is as fast:
on six tables, a sweep over C took it 0.4 to 0.9 times as long with default settings, and 0.6 to 1.2 times with
warm_start and the tolerance below (`python -m tests.benchmarks.solver`, Intel Xeon with AVX-512).
"""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from scipy.optimize import minimize

from stages.tables.features import Matrix

# Largest gradient of the mean loss: a tenth of scikit-learn's default, within which the solution for a sample of the
# rows can be without a single step.
TOLERANCE = 1e-5
MAX_STEPS = 1_000

Blocks: TypeAlias = Iterable[Matrix]  # the rows of a matrix in parts, in order; every step iterates over them once


def fit(blocks: Blocks, y: np.ndarray, *, C: float, weights: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Minimise C · sum(weights · log loss) + ||coefficients||² / 2, which scikit-learn's LogisticRegression minimises.

    Args:
        blocks: parts of (rows, dim) float32, the same in every pass: `[X]`, or a file that is read again.
        y: (rows,) label indices.
        C: inverse regularisation.
        weights: (rows,) row weights.
        start: (dim + 1, labels or 1), such as the solution for a sample of the rows. With two labels, one column
            suffices, as in scikit-learn: the scores of the second label, the first one's being 0.

    Returns:
        (dim + 1, labels or 1) float64, of the shape of `start`: coefficients, and intercepts in the last row.
    """
    share = (weights / weights.sum()).astype(np.float32)  # (rows,)
    decay = 1 / (C * weights.sum())

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        W = flat.reshape(start.shape)
        gradient = np.zeros(start.shape)
        gradient[:-1] = decay * W[:-1]
        value, row = decay / 2 * float((W[:-1] ** 2).sum()), 0
        for X in blocks:
            rows = slice(row, row + X.shape[0])
            row = rows.stop
            value += _add_block(X, y[rows], share[rows], W.astype(np.float32), gradient)
        return value, gradient.ravel()

    options = {"maxiter": MAX_STEPS, "maxls": 50, "gtol": TOLERANCE, "ftol": 1e-12}
    solution = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options).x
    return np.asarray(solution, dtype=np.float64).reshape(start.shape)


def _add_block(X: Matrix, y: np.ndarray, share: np.ndarray, W: np.ndarray, gradient: np.ndarray) -> float:
    """Compute the weighted log loss of a block of rows, and add its gradient to `gradient`.

    Args:
        X: (rows, dim).
        y: (rows,) label indices.
        share: (rows,) row weights, divided by their sum over all rows.
        W: (dim + 1, labels or 1) float32: coefficients, and intercepts in the last row.
        gradient: of the shape of W, float64.
    """
    every_row = np.arange(len(y))
    scores = X @ W[:-1]  # (rows, labels)
    scores += W[-1]
    if scores.shape[1] == 1:
        scores = np.hstack([np.zeros_like(scores), scores])
    scores -= scores.max(axis=1, keepdims=True)
    true_scores = scores[every_row, y]
    np.exp(scores, out=scores)
    total = scores.sum(axis=1)
    value = float(np.dot(np.log(total) - true_scores, share))
    # Now the gradient of the loss by the scores: share · (softmax - one-hot of y).
    scores *= (share / total)[:, None]
    scores[every_row, y] -= share
    scores = scores[:, -gradient.shape[1] :]
    gradient[:-1] += X.T @ scores
    gradient[-1] += scores.sum(axis=0, dtype=np.float64)
    return value
