"""Candidates that are clearly worse on the first fold are left out of the others."""

import numpy as np
import pytest

from stages.heads import halving

Y = np.arange(1_000) % 3


def scores(quality: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(1_000, 3)) + quality * np.eye(3)[Y]


def test_only_what_is_clearly_worse_is_left_out() -> None:
    good, alike, bad = scores(1.0, 0), scores(1.0, 1), scores(0.0, 2)
    assert halving.survivors(np.stack([bad, good, alike]), Y).tolist() == [False, True, True]
    assert halving.survivors(np.stack([bad, good, alike])[:, :8], Y[:8]).all(), "eight rows tell nothing"
    assert halving.survivors(np.stack([good, good]), Y).all()


def test_means_of_what_was_left_out_are_estimated_by_the_difference_on_common_rows() -> None:
    values = np.array([[0.5, 0.7, np.nan, np.nan], [0.4, 0.5, 3.0, 4.1], [0.3, 0.9, 2.0, 4.0]])
    expected = [values[1].mean() + 0.15, values[1].mean(), values[2].mean()]
    assert halving.completed(values).tolist() == pytest.approx(expected)
