"""Shares of few rows: intervals that hold as often as they say, and a test that agrees with them."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest, multinomial

from stages.scores import proportions


@pytest.mark.parametrize(("hits", "rows"), [(26, 26), (0, 26), (1, 1), (0, 1)])
def test_none_or_all_of_few_rows_is_the_exact_interval(hits: int, rows: int) -> None:
    exact = binomtest(hits, rows).proportion_ci(0.95, method="exact")
    assert proportions.interval(hits, rows) == pytest.approx((exact.low, exact.high))


def test_the_interval_lies_within_the_exact_one_and_holds_the_share() -> None:
    for rows in (2, 7, 26, 1000):
        for hits in {1, rows // 2, rows - 1}:
            exact = binomtest(hits, rows).proportion_ci(0.95, method="exact")
            low, high = proportions.interval(hits, rows)
            assert exact.low < low < hits / rows < high < exact.high


@pytest.mark.parametrize("rows", [10, 25, 50, 200, 1000])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.98])
def test_the_interval_of_a_share_holds_it_as_often_as_it_says(rows: int, share: float) -> None:
    """The exact coverage. With five errors or less, a single number of them can have a probability of 0.05 or more."""
    ends = np.array([proportions.interval(hits, rows) for hits in range(rows + 1)])
    holds = (ends[:, 0] <= share) & (share <= ends[:, 1])
    coverage = binom.pmf(np.arange(rows + 1), rows, share)[holds].sum()
    assert coverage >= 0.93
    assert coverage <= 0.97 or rows * (1 - share) <= 5


@pytest.mark.parametrize("rows", [5, 10, 30])
def test_the_interval_of_a_difference_excludes_zero_where_the_test_does(rows: int) -> None:
    for wins in range(rows + 1):
        for losses in range(rows + 1 - wins):
            low, high = proportions.difference_interval(wins, losses, rows)
            assert -1 <= low <= (wins - losses) / rows <= high <= 1
            assert (low > 0 or high < 0) == (proportions.mcnemar(wins, losses) < 0.05)
            assert proportions.difference_interval(losses, wins, rows) == pytest.approx((-high, -low))


@pytest.mark.parametrize("rows", [10, 50, 200])
@pytest.mark.parametrize(
    ("first", "second", "both"), [(0.5, 0.5, 0.25), (0.9, 0.5, 0.45), (0.9, 0.9, 0.85), (0.98, 0.9, 0.89)]
)
def test_the_interval_of_a_difference_holds_it_as_often_as_it_says(
    rows: int, first: float, second: float, both: float
) -> None:
    chances = [first - both, second - both, 1 - first - second + both]
    coverage = 0.0
    most = min(rows, int(3 * rows * max(chances[:2])) + 12)
    for wins in range(most + 1):
        for losses in range(min(most, rows - wins) + 1):
            chance = multinomial.pmf([wins, losses, rows - wins - losses], rows, [*chances[:2], 1 - sum(chances[:2])])
            if chance > 1e-6:
                low, high = proportions.difference_interval(wins, losses, rows)
                coverage += chance * (low - 1e-9 <= first - second <= high + 1e-9)
    assert coverage >= 0.93
    if rows * sum(chances[:2]) > 10:  # rows that only one of them gets right
        assert coverage <= 0.97


def test_mcnemar_is_that_of_the_published_example() -> None:
    """Identical models, and the chi-squared statistic (b - c)² / (b + c) of one degree of freedom."""
    assert proportions.mcnemar(0, 0) == proportions.mcnemar(7, 7) == 1
    assert proportions.mcnemar(9, 2) == proportions.mcnemar(2, 9) == pytest.approx(0.0348, abs=1e-4)


@pytest.mark.parametrize(("hits", "rows"), [(0, 7), (3, 7), (7, 7), (40, 100)])
def test_fractions_of_rows_continue_whole_ones(hits: int, rows: int) -> None:
    whole, near = proportions.interval(hits, rows), proportions.interval(float(hits) or 1e-9, rows + 1e-9)
    assert near == pytest.approx(whole, abs=0.2 if hits in (0, rows) else 1e-6)
    assert proportions.interval(float(hits), float(rows)) == pytest.approx(whole)


def test_folds_count_as_fewer_rows() -> None:
    """The variance of a mean of 25 shares that correlate by 1/5, over that of 5 independent ones."""
    assert proportions.cross_validation_spread(5, 1) == pytest.approx(1.8)
    covariance = np.full((25, 25), 1 / 5) + np.eye(25) * 4 / 5
    assert proportions.cross_validation_spread(5, 5) == pytest.approx(covariance.mean() * 5)
    low, high = proportions.spread_interval(45.5, 60, 1.45)
    assert low < proportions.interval(45, 60)[0] < 45.5 / 60 < proportions.interval(46, 60)[1] < high
    assert proportions.spread_interval(45, 60, 1) == proportions.interval(45, 60)
