"""Thresholds of confidence, and the curve of accuracy by coverage."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from stages.scores import selective


def test_the_threshold_is_the_lowest_whose_bound_meets_the_target() -> None:
    confidence = np.repeat([0.9, 0.8, 0.7], [100, 50, 50])
    is_right = np.concatenate([np.ones(100), np.arange(50) > 0, np.arange(50) > 25]).astype(bool)
    low = binomtest(149, 150).proportion_ci(0.9, "exact").low  # both sides of 90 %: one side of 95 %
    assert selective.threshold(confidence, is_right, low - 1e-6) == 0.8
    assert selective.threshold(confidence, is_right, low + 1e-6) == 0.9
    assert selective.threshold(confidence, is_right, 0.05 ** (1 / 100) - 1e-6) == 0.9
    assert selective.threshold(confidence, is_right, 0.05 ** (1 / 100) + 1e-6) == math.inf


def test_rows_of_equal_confidence_are_accepted_together() -> None:
    is_right = np.arange(200) < 190
    assert selective.threshold(np.full(200, 0.5), is_right, 0.9) == 0.5
    assert selective.threshold(np.full(200, 0.5), is_right, 0.95) == math.inf


def test_without_rows_or_right_rows_nothing_is_accepted() -> None:
    assert selective.threshold(np.empty(0), np.empty(0, bool), 0.5) == math.inf
    assert selective.threshold(np.full(9, 0.9), np.zeros(9, bool), 0.5) == math.inf


def test_few_draws_miss_the_target() -> None:
    generator, missed = np.random.default_rng(0), 0
    for _ in range(200):
        confidence = generator.uniform(size=400)
        lowest = selective.threshold(confidence, generator.uniform(size=400) < confidence, 0.9)
        missed += lowest < math.inf and (1 + lowest) / 2 < 0.9  # the mean confidence above it is the true accuracy
    assert missed <= 20


def test_the_area_is_the_mean_accuracy_of_the_surest_rows() -> None:
    is_right = np.array([True, True, False, True])
    confidence = np.array([0.9, 0.8, 0.7, 0.6])
    assert selective.area(confidence, is_right) == pytest.approx(np.mean([1, 1, 2 / 3, 3 / 4]))
    assert selective.area(confidence[::-1], is_right[::-1]) == pytest.approx(np.mean([1, 1, 2 / 3, 3 / 4]))
    assert selective.area(np.full(4, 0.5), is_right) == pytest.approx(3 / 4), "in random order"
