"""Compute metrics of ordered classes.

Everywhere, `truth` is (rows,) class indices from low to high, and `P` is (rows, classes) probabilities.
"""

import numpy as np

from stages.scores import metrics
from stages.scores.rank_correlation import spearman
from stages.scores.row_metrics import Draws, RowMetrics

MIN_CHANCE = 1e-12  # squared steps; below, all classes are equal but for rounding


def median_class(P: np.ndarray) -> np.ndarray:
    """Predict the median class: the lowest that holds, with all lower ones, half of the probability: (rows,).

    It makes the expected error in steps the least, where the likeliest class makes rows right the most often (Lin and
    Li 2012, Reduction from Cost-Sensitive Ordinal Ranking to Weighted Binary Classification).
    """
    return np.asarray((P[:, ::-1].cumsum(axis=1)[:, :-1] > P.sum(axis=1, keepdims=True) / 2).sum(axis=1))


def headline(truth: np.ndarray, P: np.ndarray) -> dict[str, float]:
    """Compute accuracy, mean_absolute_error in steps, quadratic_weighted_kappa, spearman and log_loss.

    All but the last are of the median class. They are as sklearn.metrics and scipy define them. Undefined ones are left
    out: the kappa of rows that all have, and get, the same class; spearman where all have, or all get, the same.
    """
    return row_metrics(truth, P).headline()


def row_metrics(truth: np.ndarray, P: np.ndarray) -> RowMetrics:
    """Give the headline metrics as functions of row weights."""
    guess, losses = median_class(P), metrics.losses(truth, P)
    steps = np.abs(guess - truth)
    values = np.column_stack([steps == 0, steps, steps**2, truth, guess, truth**2, guess**2, losses])

    def from_means(means: np.ndarray) -> Draws:
        right, absolute, squared, first, second, first_square, second_square, loss = means.T
        chance = first_square + second_square - 2 * first * second  # squared steps, if the two had nothing in common
        with np.errstate(invalid="ignore", divide="ignore"):
            kappa = np.where(chance > MIN_CHANCE, 1 - squared / chance, np.nan)
        return {
            "accuracy": right,
            "mean_absolute_error": absolute,
            "quadratic_weighted_kappa": kappa,
            "log_loss": loss,
        }

    mean, square = truth.mean(), (truth**2).mean()
    wrong, right = (
        [is_right, step, step, mean, mean, square, square, loss]
        for is_right, step, loss in ((0, 1, losses.max()), (1, 0, losses.min()))
    )
    return RowMetrics(
        values.astype(np.float64),
        from_means,
        lambda weights: {"spearman": spearman(truth, guess, weights)},
        bounds={
            "mean_absolute_error": (0.0, np.inf),
            "log_loss": (0.0, np.inf),
            "quadratic_weighted_kappa": (-1.0, 1.0),
            "spearman": (-1.0, 1.0),
        },
        share="accuracy",
        right=steps == 0,
        unseen=np.array([wrong, right]),
        width=4,
    )
