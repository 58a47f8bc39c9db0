"""Intervals of numbers that hold the true one as often as asked, whatever the model is: split conformal prediction.

Source: Lei, G'Sell, Rinaldo, Tibshirani and Wasserman 2018, Distribution-Free Predictive Inference for Regression.
"""

import math

import numpy as np

from stages.scores import proportions


def half_width(residuals: np.ndarray, coverage: float) -> float:
    """Find how far an interval reaches to both sides of a prediction; infinite where `rows_needed` are not there.

    Intervals of new rows like these hold the true number with a probability of at least `coverage`, over draws of both.

    Args:
        residuals: (rows,) true number minus prediction, of rows that the model was not trained on.
        coverage: above 0 and below 1.
    """
    # 70 * 0.9 shall be 63 and not the least bit more, whatever the rounding.
    rank = math.ceil(round((len(residuals) + 1) * coverage, 9))
    return float(np.sort(np.abs(residuals))[rank - 1]) if rank <= len(residuals) else math.inf


def rows_needed(coverage: float) -> int:
    """Count the rows from which on intervals are finite: 9 for a coverage of 0.9."""
    return math.ceil(round(coverage / (1 - coverage), 6))


def measured(residuals: np.ndarray, half_width: float) -> tuple[float, tuple[float, float]]:
    """Compute the share of other rows whose interval holds the true number, and the 95 % interval of that share.

    Args:
        residuals: (rows,) of rows that `half_width` was not found with.
    """
    hits = int((np.abs(residuals) <= half_width).sum())
    return hits / len(residuals), proportions.interval(hits, len(residuals))
