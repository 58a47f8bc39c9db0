"""LogME: how well labels fit features, as the evidence of Bayesian linear models, without training a head.

Source: You, Liu, Wang and Long 2021, LogME: Practical Assessment of Pre-trained Models for Transfer Learning.

For every class, y in {0, 1} is modelled as F w + noise, with w ~ N(0, 1 / alpha) and noise ~ N(0, 1 / beta). The score
is the log evidence per row, at the alpha and beta that maximise it, averaged over the classes. There is no intercept.
"""

import numpy as np
from scipy import sparse
from scipy.linalg import eigh

from stages.scores import products

MAX_STEPS = 1_000
TOLERANCE = 1e-10  # of the ratio alpha / beta, relative; an error of it enters the evidence squared
MIN_SQUARES = 1e-5  # of residuals or weights, as the authors have it: a perfect fit has no finite evidence
MIN_EIGENVALUE = 1e-12  # relative to the largest; smaller ones are rounding errors


def logme(X: "np.ndarray | sparse.csr_matrix", y: np.ndarray) -> float:
    """Compute LogME; higher is better.

    Args:
        X: (rows, dim) features, dense or sparse.
        y: (rows,) label indices from 0; or (rows, labels) bool, which labels apply.

    Returns:
        Log evidence per row in nats, the mean over the labels that have rows.
    """
    Y = np.eye(int(y.max()) + 1)[y] if y.ndim == 1 else y.astype(np.float64)
    Y = Y[:, Y.any(axis=0)]
    eigenvalues, projected = _spectrum(X, Y)
    rows_of_class = Y.sum(axis=0)
    evidences = [
        _evidence(eigenvalues, squares, rows=len(y), total=float(total))
        for squares, total in zip((projected**2).T, rows_of_class, strict=True)
    ]
    return float(np.mean(evidences))


def _spectrum(X: "np.ndarray | sparse.csr_matrix", Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the positive eigenvalues of X Xᵀ, (k,), and Y on their eigenvectors, (k, classes).

    They come from the smaller of X Xᵀ and Xᵀ X.
    """
    if not sparse.issparse(X):
        X = np.asarray(X, np.float64)
    by_rows = X.shape[0] <= X.shape[1]
    gram = products.with_transposed(X)(X) if by_rows else X.T @ X
    values, vectors = eigh(np.asarray(gram if isinstance(gram, np.ndarray) else gram.todense(), np.float64))
    keep = values > MIN_EIGENVALUE * max(float(values[-1]), 0.0)
    values, vectors = values[keep], vectors[:, keep]
    if by_rows:
        return values, vectors.T @ Y
    return values, vectors.T @ (X.T @ Y) / np.sqrt(values)[:, None]


def _evidence(eigenvalues: np.ndarray, squares: np.ndarray, *, rows: int, total: float) -> float:
    """Maximise the log evidence per row over alpha and beta by the fixed point of the paper's algorithm 1.

    Args:
        eigenvalues: (k,) of X Xᵀ.
        squares: (k,) squares of y on the eigenvectors.
        total: the sum of the squares of y; what the eigenvectors do not hold is noise.
    """
    outside = max(total - float(squares.sum()), 0.0)
    ratio = 1.0  # alpha / beta
    for _ in range(MAX_STEPS):
        shrunk = eigenvalues + ratio
        effective = float((eigenvalues / shrunk).sum())  # number of parameters that the data decide
        weights = max(float((eigenvalues * squares / shrunk**2).sum()), MIN_SQUARES)
        residuals = max(float((squares * (ratio / shrunk) ** 2).sum()) + outside, MIN_SQUARES)
        alpha, beta = effective / weights, (rows - effective) / residuals
        if not effective or abs(alpha / beta - ratio) <= TOLERANCE * ratio:
            break
        ratio = alpha / beta
    log_ratios = np.log(ratio / (eigenvalues + ratio)).sum()  # of alpha to alpha + beta * eigenvalue
    # There, beta times the residuals plus alpha times the weights is the number of rows.
    return float(rows * np.log(beta) + log_ratios - rows - rows * np.log(2 * np.pi)) / (2 * rows)
