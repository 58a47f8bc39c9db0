"""Calibrate scores by one temperature (Guo et al. 2017, On Calibration of Modern Neural Networks).

Dividing scores by the temperature makes confidence match accuracy; predicted labels do not change.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

MIN_CALIBRATION_ROWS = 20  # with fewer rows, a temperature fits their noise


def fit_temperature(scores: np.ndarray, y: np.ndarray) -> float:
    """Find the temperature between exp(-7) and exp(7) that minimises the log loss of softmax(scores / temperature).

    Args:
        scores: (rows, labels), of rows that the model was not trained on.
        y: (rows,) label indices.
    """
    result = minimize_scalar(lambda t: log_loss(scores / np.exp(t), y), bounds=(-7.0, 7.0), method="bounded")
    return float(np.exp(result.x))


def log_loss(scores: np.ndarray, y: np.ndarray) -> float:
    """Compute the mean of -log softmax(scores)[true label]. `scores`: (rows, labels), `y`: (rows,) label indices."""
    return float(losses(scores, y).mean())


def losses(scores: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Compute -log softmax(scores)[true label] of every row: (rows,). Arguments as of `log_loss`."""
    return np.asarray(-log_softmax(scores, axis=1)[np.arange(len(y)), y])


def logits(P: np.ndarray) -> np.ndarray:
    """Compute scores whose softmax is `P`: log P, finite for probabilities of 0 too. Both (rows, labels) float64."""
    scores: np.ndarray = np.log(np.maximum(P, np.finfo(np.float64).tiny))
    return scores
