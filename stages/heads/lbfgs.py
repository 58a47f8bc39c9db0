"""Fit multinomial logistic regression by L-BFGS (Nocedal 1980) in float32 on rows that come in blocks.

scikit-learn's LogisticRegression finds the same minimum, but needs all rows in memory and many more steps. Features of
pretrained models vary a thousand times more in one direction than in another. So the steps are made in coordinates in
which they vary alike: with the Hessian's bound of Böhning 1992 (Multinomial logistic regression algorithm) in place of
the identity, 6 to 20 passes over the rows suffice (`python -m tests.benchmarks.solver`). Sparse features are only
scaled.

scipy's L-BFGS-B takes about as many passes, but also keeps to bounds, which costs more than a pass where features are
many thousands, and holds Python's lock meanwhile, so that two fits wait for each other.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse
from scipy.linalg import cholesky, solve_triangular

from stages.tables.features import Matrix

BLOCK_ROWS = 1_024  # few enough to stay in the processor's cache from the product to the gradient
SPARSE_BLOCK_ROWS = 16_384  # of sparse features, for which the gradient of all features costs more than that of a row
MOMENT_ROWS = 8_192  # rows that tell how the features vary
MAX_MOMENT_DIM = 4_096  # beyond, products of two features cost more than the steps that they save
TOLERANCE = 3e-5  # largest gradient of the mean loss, in the coordinates of the steps
# Enough to compare values of C on sparse features, whose steps are many and dear: half of them, and log losses off by
# 0.001 at most: where two values differ by less, either will do.
SPARSE_TRIAL_TOLERANCE = 3e-4
MAX_STEPS = 1_000
LEAST_GAIN = 1e-10  # of the loss, as a share, below which steps end: float32 does not tell it from none
ENOUGH_GAIN = 1e-4  # of what the slope promises for a step (Armijo's condition)
# Steps that the next one is made from. With many thousands of features they cost more than a pass over the rows.
DENSE_MEMORY, SPARSE_MEMORY = 10, 5

Blocks: TypeAlias = Iterable[Matrix]  # the rows of a matrix in parts, in order; every step iterates over them once


def blocks(X: Matrix) -> list[Matrix]:
    """Divide the rows of a matrix that is in memory."""
    step = SPARSE_BLOCK_ROWS if sparse.issparse(X) else BLOCK_ROWS
    return [X[start : start + step] for start in range(0, X.shape[0], step)]


def second_moments(X: Matrix) -> np.ndarray:
    """Compute the mean of x xᵀ over about `MOMENT_ROWS` rows at most, with a 1 behind the features of every row.

    Args:
        X: (rows, dim) float32.

    Returns:
        (dim + 1, dim + 1) float64; of sparse features and of more than `MAX_MOMENT_DIM` only the diagonal, (dim + 1,).
    """
    rows, dim = X.shape
    generator, count = np.random.default_rng(0), 0
    total = np.zeros(dim + 1 if sparse.issparse(X) or dim > MAX_MOMENT_DIM else (dim + 1, dim + 1))
    for block in blocks(X):
        sample = block[np.flatnonzero(generator.random(block.shape[0]) < MOMENT_ROWS / rows)].astype(np.float64)
        count += sample.shape[0]
        if total.ndim == 1:
            squares: Any = sample**2 if isinstance(sample, np.ndarray) else sample.multiply(sample)
            total[:-1] += np.asarray(squares.sum(axis=0)).ravel()
            total[-1] += sample.shape[0]
        else:
            sample = np.hstack([sample, np.ones((len(sample), 1))])
            total += sample.T @ sample
    return total / count


def fit(
    parts: Blocks,
    y: np.ndarray,
    *,
    C: float,
    weights: np.ndarray,
    start: np.ndarray,
    moments: np.ndarray,
    tolerance: float = TOLERANCE,
) -> np.ndarray:
    """Minimise C · sum(weights · log loss) + ||coefficients||² / 2, which scikit-learn's LogisticRegression minimises.

    Args:
        parts: of (rows, dim) float32, the same in every pass: `blocks(X)`, or a file that is read again.
        y: (rows,) label indices.
        C: inverse regularisation.
        weights: (rows,) row weights.
        start: (dim + 1, labels or 1), such as the solution for another C, or for a sample of the rows. With two labels,
            one column suffices, as in scikit-learn: the scores of the second label, the first one's being 0.
        moments: `second_moments` of these rows, or of rows like them.
        tolerance: largest gradient at which it ends.

    Returns:
        (dim + 1, labels or 1) float64, of the shape of `start`: coefficients, and intercepts in the last row.
    """
    share = (weights / weights.sum()).astype(np.float32)  # (rows,)
    decay = 1 / (C * weights.sum())
    shares = np.bincount(y) / len(y)
    triangle = factor(moments * (shares * (1 - shares)).mean(), decay)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        W = solve(triangle, flat.reshape(start.shape), trans="T")
        gradient = np.zeros(start.shape)
        gradient[:-1] = decay * W[:-1]
        value, row = decay / 2 * float((W[:-1] ** 2).sum()), 0
        single = W.astype(np.float32)
        for X in parts:
            rows = slice(row, row + X.shape[0])
            row = rows.stop
            value += _add_block(X, y[rows], share[rows], single, gradient)
        return value, solve(triangle, gradient).ravel()

    first = triangle[:, None] * start if triangle.ndim == 1 else triangle.T @ start
    memory = DENSE_MEMORY if moments.ndim == 2 else SPARSE_MEMORY
    solution = minimize(loss, first.ravel(), tolerance=tolerance, memory=memory)
    return solve(triangle, solution.reshape(start.shape), trans="T")


def minimize(
    loss: Callable[[np.ndarray], tuple[float, np.ndarray]], x: np.ndarray, *, tolerance: float, memory: int
) -> np.ndarray:
    """Find the minimum of a smooth convex loss by L-BFGS.

    Args:
        loss: computes the loss and its gradient at a point.
        x: (size,) where to start.
        tolerance: largest gradient at which it ends.
        memory: how many steps the next one is made from.

    Returns:
        (size,) the last point: none before it has a lower loss.
    """
    value, gradient = loss(x)
    steps: deque[tuple[np.ndarray, np.ndarray, float]] = deque(maxlen=memory)
    for _ in range(MAX_STEPS):
        if np.abs(gradient).max() <= tolerance:
            break
        direction = _direction(gradient, steps)
        slope, size = float(gradient @ direction), 1.0
        least = LEAST_GAIN * max(abs(value), 1)
        while -slope * size > least:
            next_x = x + size * direction
            next_value, next_gradient = loss(next_x)
            if next_value <= value + ENOUGH_GAIN * size * slope:
                break
            # To the lowest point of the parabola through both losses, with the slope at the first.
            share = -slope * size / (2 * (next_value - value - slope * size))
            size *= min(max(share, 0.1), 0.5) if np.isfinite(share) else 0.1
        else:
            break
        step, change = next_x - x, next_gradient - gradient
        if (curvature := float(step @ change)) > 0:
            steps.append((step, change, curvature))
        gain = value - next_value
        x, value, gradient = next_x, next_value, next_gradient
        if gain <= least:
            break
    return x


def _direction(gradient: np.ndarray, steps: deque[tuple[np.ndarray, np.ndarray, float]]) -> np.ndarray:
    """Compute where the next step goes: against the gradient, corrected by what `steps` told of the curvature.

    Args:
        gradient: (size,)
        steps: the last steps, the changes of the gradient by them, both (size,), and the products of the two.
    """
    direction, part, shares = -gradient, np.empty_like(gradient), []
    for step, change, curvature in reversed(steps):
        shares.append(float(step @ direction) / curvature)
        direction -= np.multiply(change, shares[-1], out=part)
    if steps:
        _, change, curvature = steps[-1]
        direction *= curvature / float(change @ change)
    for (step, change, curvature), share in zip(steps, reversed(shares), strict=True):
        direction += np.multiply(step, share - float(change @ direction) / curvature, out=part)
    return direction


def solve(factor: np.ndarray, values: np.ndarray, trans: str = "N") -> np.ndarray:
    """Solve the equations `factor` · solution = `values`, or with `trans` "T" those of its transpose."""
    if factor.ndim == 1:
        return np.asarray(values / factor[:, None])
    return np.asarray(solve_triangular(factor, values, lower=True, trans=trans))


def factor(hessian: np.ndarray, decay: float) -> np.ndarray:
    """Factor the Hessian of a loss and its penalty, about.

    Args:
        hessian: (dim + 1, dim + 1) of the loss, or its diagonal: `second_moments`, times a number.
        decay: weight of the penalty.

    Returns:
        The lower triangle, (dim + 1, dim + 1), or its diagonal.
    """
    # The last term keeps the matrix positive definite where features are constant or repeat each other.
    if hessian.ndim == 1:
        return np.asarray(np.sqrt(hessian + decay + 1e-10 * hessian.sum()))
    hessian[np.diag_indices_from(hessian)] += decay + 1e-10 * np.trace(hessian)
    return np.asarray(cholesky(hessian, lower=True))


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
    # (labels, rows): NumPy takes the highest of few labels 10 times as fast along the first axis as along the last.
    scores = np.ascontiguousarray(W[:-1].T @ X.T)
    scores += W[-1][:, None]
    if len(scores) == 1:
        scores = np.vstack([np.zeros_like(scores), scores])
    scores -= scores.max(axis=0)
    true_scores = scores[y, every_row]
    np.exp(scores, out=scores)
    total = scores.sum(axis=0)
    value = float(np.dot((np.log(total) - true_scores).astype(np.float64), share))  # steps end where it hardly falls
    # Now the gradient of the loss by the scores: share · (softmax - one-hot of y).
    scores *= share / total
    scores[y, every_row] -= share
    scores = scores[-gradient.shape[1] :]
    gradient[:-1] += X.T @ scores.T
    gradient[-1] += scores.sum(axis=1, dtype=np.float64)
    return value
