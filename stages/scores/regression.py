"""Compute metrics of predicted numbers. Everywhere, `truth` and `guess` are (rows,) numbers."""

import numpy as np

from stages.scores.rank_correlation import spearman
from stages.scores.row_metrics import Draws, RowMetrics

MIN_VARIANCE = 1e-9  # of a resample, as a share of that of all rows; below, all numbers are equal but for rounding


def headline(truth: np.ndarray, guess: np.ndarray) -> dict[str, float]:
    """Compute mean_absolute_error, root_mean_squared_error, r2 and spearman.

    They are as sklearn.metrics and scipy define them. Undefined ones are left out: r2 where all numbers are equal,
    spearman where all numbers or all predictions are.
    """
    return row_metrics(truth, guess).headline()


def row_metrics(truth: np.ndarray, guess: np.ndarray) -> RowMetrics:
    """Give the headline metrics as functions of row weights."""
    error, centred = guess - truth, truth - (truth.mean() if np.ptp(truth) else truth[0])
    variance = (centred**2).mean()

    def from_means(means: np.ndarray) -> Draws:
        absolute, squared, mean, second_moment = means.T
        spread = second_moment - mean**2
        with np.errstate(invalid="ignore", divide="ignore"):
            r2 = np.where(spread > MIN_VARIANCE * variance, 1 - squared / spread, np.nan)
        return {"mean_absolute_error": absolute, "root_mean_squared_error": np.sqrt(squared), "r2": r2}

    return RowMetrics(
        np.column_stack([np.abs(error), error**2, centred, centred**2]),
        from_means,
        lambda weights: {"spearman": spearman(truth, guess, weights)},
        bounds={
            "mean_absolute_error": (0.0, np.inf),
            "root_mean_squared_error": (0.0, np.inf),
            "r2": (-np.inf, 1.0),
            "spearman": (-1.0, 1.0),
        },
        width=4,
    )
