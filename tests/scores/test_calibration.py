"""The temperature."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import log_loss

from stages.scores import calibration


def test_the_temperature_minimises_log_loss() -> None:
    generator = np.random.default_rng(0)
    y = generator.integers(0, 3, 3000)
    honest = generator.normal(size=(3000, 3)) + 2 * np.eye(3)[y]
    true_scores = 2 * honest  # of unit noise and distance 2, the likelihood ratio is exp(2 x)
    assert calibration.fit_temperature(true_scores * 4, y) == pytest.approx(4, rel=0.1)
    assert calibration.log_loss(true_scores, y) == pytest.approx(log_loss(y, np.exp(log_softmax(true_scores, axis=1))))


def test_a_loss_of_nothing_is_not_negative() -> None:
    assert f"{calibration.log_loss(np.array([[800.0, 0], [0, 800]]), np.array([0, 1])):.3f}" == "0.000"
