"""Backbones are ranked by accuracy, and the cheapest within noise of the best is named by a stated rule."""

import numpy as np
import pytest

from stages.comparison import leaderboard
from stages.comparison.leaderboard import Candidate
from stages.scores import proportions


def candidate(name: str, right: int, *, size: int, dim: int = 10, rows: int = 100) -> Candidate:
    """A backbone whose first `right` rows are right."""
    return Candidate(name, np.arange(rows) < right, 1.0, -0.5, 10.0, size, dim)


def test_the_cheapest_within_noise_is_not_the_cheapest_of_all() -> None:
    entries = leaderboard.rank(
        [
            candidate("tiny", 50, size=1_000),
            candidate("small", 88, size=5_000_000),
            candidate("large", 90, size=90_000_000),
        ]
    )
    assert [entry["backbone"] for entry in entries] == ["large", "small", "tiny"]
    assert [entry["is_best"] for entry in entries] == [True, False, False]
    assert [entry["is_within_noise"] for entry in entries] == [True, True, False]
    assert [entry["is_cheapest"] for entry in entries] == [False, True, False]
    assert leaderboard.choice(entries) == ("best: large; cheapest within noise of it: small (5.00 instead of 90.00 MB)")
    ends = entries[2]["behind_best_ci95"]
    assert entries[2]["behind_best"] == 0.4
    assert (ends["low"], ends["high"]) == pytest.approx(proportions.difference_interval(40, 0, 100), abs=1e-6)
    assert entries[2]["p_value"] == pytest.approx(proportions.mcnemar(40, 0), rel=1e-3)


def test_noise_is_that_of_pairs_of_rows() -> None:
    """Six rows of a hundred are beyond noise if no row speaks for the other; as many among many changes are not."""
    right = np.arange(100) < 90
    other = right.copy()
    other[:20], other[90:] = False, True
    few, many = Candidate("few", np.arange(100) < 84, 1, 0, 1, 1, 1), Candidate("many", other, 1, 0, 1, 1, 1)
    best = Candidate("best", right, 1, 0, 1, 2, 1)
    assert [entry["is_within_noise"] for entry in leaderboard.rank([best, few])] == [True, False]
    assert leaderboard.rank([best, many])[1]["is_within_noise"]


def test_equal_backbones_are_in_the_order_of_their_costs() -> None:
    parts = [candidate("b", 80, size=2), candidate("c", 80, size=1, dim=20), candidate("a", 80, size=1)]
    for order in (parts, parts[::-1]):
        assert [entry["backbone"] for entry in leaderboard.rank(order)] == ["a", "c", "b"]


def test_speed_decides_nothing() -> None:
    slow = Candidate("slow", np.arange(100) < 80, 1.0, 0, 1.0, 1, 1)
    fast = Candidate("fast", np.arange(100) < 80, 1.0, 0, 1e6, 2, 1)
    assert leaderboard.rank([fast, slow])[0]["is_cheapest"] and leaderboard.rank([fast, slow])[0]["backbone"] == "slow"


def test_one_backbone_is_the_best_and_the_cheapest() -> None:
    (entry,) = leaderboard.rank([candidate("only", 7, size=1)])
    assert leaderboard.choice([entry]) == "best and cheapest within noise of the best: only"
    assert leaderboard.cells(entry)[2:4] == ("", "")
