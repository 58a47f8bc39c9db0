"""Intervals of numbers hold the true one as often as asked."""

import math

import numpy as np
import pytest

from stages.scores import conformal_interval, proportions


def test_known_answers() -> None:
    residuals = np.array([1.0, -2, 3, -4, 5, -6, 7, -8, 9])
    assert conformal_interval.half_width(residuals, 0.9) == 9  # the 9th of 9: (9 + 1) * 0.9
    assert conformal_interval.half_width(residuals, 0.5) == 5
    assert conformal_interval.half_width(residuals, 0.51) == 6
    assert conformal_interval.half_width(np.arange(1, 1000.0), 0.9) == 900


def test_too_few_rows_give_infinite_intervals() -> None:
    for coverage in (0.5, 0.8, 0.9, 0.95, 0.99):
        rows = conformal_interval.rows_needed(coverage)
        assert math.isfinite(conformal_interval.half_width(np.ones(rows), coverage))
        assert conformal_interval.half_width(np.ones(rows - 1), coverage) == math.inf
    assert conformal_interval.rows_needed(0.9) == 9
    assert conformal_interval.half_width(np.zeros(0), 0.9) == math.inf


@pytest.mark.parametrize("rows", [19, 50, 500])
def test_90_percent_hold_the_truth_over_200_draws(rows: int) -> None:
    generator = np.random.default_rng(0)
    shares = []
    for _ in range(200):
        held_out, new = generator.standard_t(3, rows) + 0.5, generator.standard_t(3, 400) + 0.5
        width = conformal_interval.half_width(held_out, 0.9)
        shares.append(conformal_interval.measured(new, width)[0])
    assert 0.88 <= np.mean(shares) <= 0.92


def test_coverage_is_measured_with_its_interval() -> None:
    assert conformal_interval.measured(np.array([0.1, -0.5, 2, -3]), 0.5) == (0.5, proportions.interval(2, 4))
