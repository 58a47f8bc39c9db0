"""Multinomial logistic regression by L-BFGS in float32: the minimum of scikit-learn's, several times as fast.

scikit-learn computes in float64 what SciPy's solver hands it, cannot start from the solution for another C, and wants
all rows in memory. The first two matter with many classes, where a sweep over C would take minutes.
"""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from scipy.optimize import minimize

from stages.tables.features import Matrix

# The largest gradient of the mean loss. A tenth of scikit-learn's: from the solution for another C, its own tolerance
# can be met without a step.
TOLERANCE = 1e-5
MAX_STEPS = 1_000

Blocks: TypeAlias = Iterable[Matrix]  # rows of a matrix in parts, in order; gone through once for each step


def fit(blocks: Blocks, y: np.ndarray, *, C: float, weights: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """Minimise C * sum(weights * log loss) + ||coefficients||² / 2.

    Args:
        blocks: parts of (rows, dim) float32, the same in every iteration: `[X]`, or a file that is read anew.
        y: (rows,) label indices, each of 0 … labels - 1 at least once.
        C: inverse regularisation.
        weights: (rows,) weight of each row.
        start: where to start; a solution for another C or other rows is near. Of two labels, one column can do, as in
            scikit-learn: the scores of the second one, and those of the first one are 0.

    Returns:
        (dim + 1, labels or 1) float64: coefficients, and intercepts in the last row.
    """
    dim = next(iter(blocks)).shape[1] if start is None else len(start) - 1
    shape = (dim + 1, int(y.max()) + 1) if start is None else start.shape
    share = (weights / weights.sum()).astype(np.float32)  # (rows,)
    decay = 1 / (C * weights.sum())

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        W = flat.reshape(shape)
        gradient = np.zeros(shape)
        gradient[:-1] = decay * W[:-1]
        value, row = decay / 2 * float((W[:-1] ** 2).sum()), 0
        for X in blocks:
            rows = slice(row, row + X.shape[0])
            row = rows.stop
            value += _add(X, y[rows], share[rows], W.astype(np.float32), gradient)
        return value, gradient.ravel()

    first = np.zeros(shape) if start is None else start
    options = {"maxiter": MAX_STEPS, "maxls": 50, "gtol": TOLERANCE, "ftol": 1e-12}
    found = minimize(loss, first.ravel(), jac=True, method="L-BFGS-B", options=options)
    return np.asarray(found.x, dtype=np.float64).reshape(shape)


def _add(X: Matrix, y: np.ndarray, share: np.ndarray, W: np.ndarray, gradient: np.ndarray) -> float:
    """The loss of some rows; their gradient is added to `gradient`."""
    each = np.arange(len(y))
    scores = X @ W[:-1]  # (rows, labels)
    scores += W[-1]
    if scores.shape[1] == 1:
        scores = np.hstack([np.zeros_like(scores), scores])
    scores -= scores.max(axis=1, keepdims=True)
    right = scores[each, y]
    np.exp(scores, out=scores)
    total = scores.sum(axis=1)
    value = float(np.dot(np.log(total) - right, share))
    scores *= (share / total)[:, None]  # now the gradient of the mean loss by the scores
    scores[each, y] -= share
    scores = scores[:, -gradient.shape[1] :]
    gradient[:-1] += X.T @ scores
    gradient[-1] += scores.sum(axis=0, dtype=np.float64)
    return value
