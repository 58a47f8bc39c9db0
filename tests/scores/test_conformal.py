"""Sets that hold the true label."""

import numpy as np
import pytest

from stages.scores import conformal


def test_the_limit_leaves_out_the_least_likely_true_labels() -> None:
    p_true = np.arange(1, 20) / 20  # of 19 rows: with the new one, each of 20 ranks is equally likely
    assert conformal.limit(p_true, 0.9) == pytest.approx(2 / 20)
    assert conformal.limit(p_true, 0.95) == pytest.approx(1 / 20)
    assert conformal.limit(p_true, 0.96) == 0, "the rows are too few: every label"


def test_a_set_may_hold_no_label_or_all() -> None:
    P = np.array([[0.5, 0.3, 0.2], [0.34, 0.33, 0.33], [1, 0, 0]])
    assert conformal.members(P, 0.4).sum(axis=1).tolist() == [1, 0, 1]
    assert conformal.members(P, 0.0).sum(axis=1).tolist() == [3, 3, 3]


@pytest.mark.parametrize("noise", [0.3, 3.0])
def test_sets_hold_the_true_label_as_often_as_asked_whatever_the_model(noise: float) -> None:
    generator, held = np.random.default_rng(0), []
    for _ in range(300):
        truth = generator.integers(0, 5, 600)
        scores = np.eye(5)[truth] + noise * generator.normal(size=(600, 5))
        P = np.exp(3 * scores) / np.exp(3 * scores).sum(axis=1, keepdims=True)  # far too sure where noise is high
        p_true = P[np.arange(600), truth]
        held.append((p_true[100:] >= conformal.limit(p_true[:100], 0.9)).mean())
    assert np.mean(held) == pytest.approx(0.9, abs=0.01)
