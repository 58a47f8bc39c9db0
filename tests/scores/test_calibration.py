"""Temperatures."""

import numpy as np
import pytest
from scipy.special import expit, log_softmax
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


def test_every_label_has_its_own_temperature() -> None:
    generator = np.random.default_rng(0)
    Y = generator.random((4000, 3)) < 0.5
    logits = 2 * (generator.normal(size=Y.shape) + np.where(Y, 1, -1))  # of unit noise: the log of the odds
    scale = np.array([1, 4, 0.25])
    temperatures = calibration.fit_temperatures(logits * scale, Y)
    np.testing.assert_allclose(temperatures, scale, rtol=0.1)
    for k, temperature in enumerate(temperatures):
        loss, higher, lower = (
            log_loss(Y[:, k], expit(logits[:, k] * scale[k] / t))
            for t in (temperature, 1.1 * temperature, temperature / 1.1)
        )
        assert loss < min(higher, lower)


def test_labels_of_few_rows_keep_their_scores() -> None:
    generator = np.random.default_rng(0)
    Y = np.zeros((40, 4), dtype=bool)
    Y[:4, 0], Y[:36, 1], Y[:5, 2], Y[:35, 3] = True, True, True, True
    logits = 8 * generator.normal(size=Y.shape)
    temperatures = calibration.fit_temperatures(logits, Y)
    assert temperatures[:2].tolist() == [1, 1] and (temperatures[2:] > 1.5).all()
    assert calibration.fit_temperatures(logits[:19], Y[:19]).tolist() == [1, 1, 1, 1]
