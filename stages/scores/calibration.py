"""Calibrate scores by one temperature (Guo et al. 2017, On Calibration of Modern Neural Networks).

Dividing scores by the temperature makes confidence match accuracy; predicted labels do not change.
"""

from collections.abc import Callable

import numpy as np
import scipy

MIN_CALIBRATION_ROWS = 20  # with fewer rows, a temperature fits their noise
MIN_LABEL_ROWS = 5  # with fewer, what is fitted to a label by itself fits their noise


def fit_temperature(scores: np.ndarray, y: np.ndarray) -> float:
    """Find the temperature between exp(-7) and exp(7) that minimises the log loss of softmax(scores / temperature).

    Args:
        scores: (rows, labels), of rows that the model was not trained on.
        y: (rows,) label indices.
    """
    return best_temperature(lambda temperature: log_loss(scores / temperature, y))


def fit_temperatures(logits: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Find for every label by itself the temperature of `fit_temperature` for sigmoid(logits / temperature).

    Args:
        logits: (rows, labels), of rows that the model was not trained on.
        Y: (rows, labels) bool, which labels apply.

    Returns:
        (labels,); 1 where there are fewer than MIN_CALIBRATION_ROWS rows, or fewer than MIN_LABEL_ROWS to which the
        label applies or does not apply.
    """
    positive = Y.sum(axis=0)
    is_enough = (len(Y) >= MIN_CALIBRATION_ROWS) & (np.minimum(positive, len(Y) - positive) >= MIN_LABEL_ROWS)
    temperatures = np.ones(Y.shape[1])
    for k in np.flatnonzero(is_enough):
        temperatures[k] = _label_temperature(logits[:, k], Y[:, k])
    return temperatures


def _label_temperature(logits: np.ndarray, applies: np.ndarray) -> float:
    """Find the temperature of one label; both arguments (rows,)."""
    signed = np.where(applies, -logits, logits)  # log(1 + exp(signed)) is the loss of a decision
    return best_temperature(lambda temperature: float(np.logaddexp(0, signed / temperature).mean()))


def best_temperature(loss: Callable[[float], float]) -> float:
    """Find the temperature between exp(-7) and exp(7) that has the least loss."""
    result = scipy.optimize.minimize_scalar(
        lambda logarithm: loss(np.exp(logarithm)), bounds=(-7.0, 7.0), method="bounded"
    )
    return float(np.exp(result.x))


def log_loss(scores: np.ndarray, y: np.ndarray) -> float:
    """Compute the mean of -log softmax(scores)[true label]. `scores`: (rows, labels), `y`: (rows,) label indices."""
    return float(losses(scores, y).mean())


def losses(scores: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Compute -log softmax(scores)[true label] of every row: (rows,). Arguments as of `log_loss`."""
    return np.asarray(-scipy.special.log_softmax(scores, axis=1)[np.arange(len(y)), y])


def logits(P: np.ndarray) -> np.ndarray:
    """Compute scores whose softmax is `P`: log P, finite for probabilities of 0 too. Both (rows, labels) float64."""
    scores: np.ndarray = np.log(np.maximum(P, np.finfo(np.float64).tiny))
    return scores
