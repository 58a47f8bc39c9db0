"""Calibration by one temperature (Guo et al. 2017, On Calibration of Modern Neural Networks).

Scores divided by it give probabilities that are as sure as they are right; which label is the likeliest stays the same.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

MIN_CALIBRATION_ROWS = 20  # with fewer, a temperature says more about them than about the model


def fit_temperature(scores: np.ndarray, y: np.ndarray) -> float:
    """The temperature that minimises the log loss of softmax(scores / temperature).

    Args:
        scores: (rows, labels), of rows that the model was not trained on.
        y: (rows,) label indices.
    """
    result = minimize_scalar(lambda t: log_loss(scores / np.exp(t), y), bounds=(-7.0, 7.0), method="bounded")
    return float(np.exp(result.x))


def log_loss(scores: np.ndarray, y: np.ndarray) -> float:
    """Mean negative log probability of the true labels. `scores`: (rows, labels), `y`: (rows,) label indices."""
    return float(-log_softmax(scores, axis=1)[np.arange(len(y)), y].mean())
