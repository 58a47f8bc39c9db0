"""Compute the average precision of a label under many row weights at once, as a bootstrap needs it."""

import numpy as np
import scipy


def average_precision(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute the average precision, as sklearn.metrics defines it; NaN where no row of any weight is positive.

    Args:
        positive: (rows,) bool.
        scores: (rows,) the higher, the more likely positive.
        weights: (rows, samples)

    Returns:
        (samples,)
    """
    if not positive.any():
        return np.full(weights.shape[1], np.nan)
    ranks = np.unique(-scores, return_inverse=True)[1]  # (rows,) among the distinct scores, 0 for the highest
    steps = np.unique(ranks[positive])  # recall rises at these
    step = np.searchsorted(steps, ranks)  # (rows,) the first at which a row counts; len(steps): at none
    rises, counts = (_sums(step, rows, weights, len(steps)) for rows in (positive, step < len(steps)))
    hits, ranked = rises.cumsum(axis=0), counts.cumsum(axis=0)  # (steps, samples)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(ranked > 0, hits / ranked, 0)
        average: np.ndarray = (precision * rises).sum(axis=0) / hits[-1]
    return average


def _sums(step: np.ndarray, rows: np.ndarray, weights: np.ndarray, steps: int) -> np.ndarray:
    """Sum the weights of the given rows (bool) by step: (steps, samples)."""
    columns = np.flatnonzero(rows)
    picks = scipy.sparse.csr_matrix((np.ones(len(columns)), (step[columns], columns)), shape=(steps, len(step)))
    return np.asarray(picks @ weights)
