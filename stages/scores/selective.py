"""Selective prediction: decide only rows of which the model is sure enough, and leave the others to a person.

Everywhere, `confidence` is (rows,) the probability of the predicted label, and `is_right` is (rows,) bool.

Source: Geifman and El-Yaniv 2017, Selective Classification for Deep Neural Networks.
"""

import math

import numpy as np
import scipy

MISS_RATE = 0.05  # of the bound under the accuracy of a threshold


def threshold(confidence: np.ndarray, is_right: np.ndarray, target: float) -> float:
    """Find the lowest confidence from which rows are right often enough; infinite where none is.

    A threshold will do if the lower 95 % bound (one-sided, Clopper and Pearson 1934) of the accuracy of the rows that
    reach it is at least `target`. So a new row that reaches it meets the target in about 95 % of draws of the rows,
    where the rows' own share would miss it in half of them. The paper's bound holds for all thresholds together; on
    hundreds of rows it accepts hardly any.

    Args:
        confidence: of held-out rows.
        target: the accuracy, from 0 to 1.
    """
    if not len(confidence):
        return math.inf
    values, rows, right = _at_least(confidence, is_right)
    is_met = (
        np.where(right > 0, scipy.special.betaincinv(np.maximum(right, 1), rows - right + 1, MISS_RATE), 0) >= target
    )
    return float(values[is_met].min(initial=math.inf))


def area(confidence: np.ndarray, is_right: np.ndarray) -> float:
    """Compute the area under the curve of accuracy by coverage: the mean accuracy of the k surest rows, for every k.

    It is 1 minus the area under the risk-coverage curve. Rows of equal confidence come in random order.

    Source: Geifman, Uziel and El-Yaniv 2019, Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers.
    """
    groups, counts = np.unique(-confidence, return_inverse=True, return_counts=True)[1:]
    right = np.repeat(np.bincount(groups, is_right) / counts, counts)
    return float((np.cumsum(right) / np.arange(1, len(right) + 1)).mean())


def _at_least(confidence: np.ndarray, is_right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """List the distinct values of confidence, highest first, and count the rows that reach each, and those right."""
    values, groups = np.unique(-confidence, return_inverse=True)
    return -values, np.cumsum(np.bincount(groups)), np.cumsum(np.bincount(groups, is_right))
