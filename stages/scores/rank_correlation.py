"""Compute Spearman's rank correlation under many row weights at once, as a bootstrap needs it."""

import numpy as np
import scipy

MIN_VARIANCE = 1e-12  # of ranks in units of all rows; below, all are equal but for rounding


def spearman(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute the correlation of the ranks of two numbers of every row; NaN where one of them is the same everywhere.

    Equal values share the mean of their ranks, as in scipy.stats.spearmanr.

    Args:
        first, second: (rows,)
        weights: (rows, samples) that sum to 1 over the rows.

    Returns:
        (samples,)
    """
    a, b = (_ranks(values, weights) - 0.5 for values in (first, second))  # the mean of all ranks is 1/2
    products = ((weights * part * other).sum(axis=0) for part, other in ((a, b), (a, a), (b, b)))
    covariance, variance, other_variance = products
    is_defined = np.minimum(variance, other_variance) > MIN_VARIANCE
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(is_defined, covariance / np.sqrt(variance * other_variance), np.nan)


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Give the weight of all rows of a lower value, and half of that of an equal one: (rows, samples)."""
    codes = np.unique(values, return_inverse=True)[1]
    sums = scipy.sparse.csr_matrix((np.ones(len(codes)), (codes, np.arange(len(codes))))) @ weights  # (values, samples)
    ranks: np.ndarray = (sums.cumsum(axis=0) - sums / 2)[codes]
    return ranks
