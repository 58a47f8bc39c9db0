"""Thresholds of the best F1."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import f1_score

from stages.scores import thresholds


def one(probabilities: list[float], applies: list[int]) -> float:
    return float(thresholds.choose(np.array(probabilities)[:, None], np.array(applies, dtype=bool)[:, None])[0])


def test_known_answers() -> None:
    rare = [0.01, 0.02, 0.05, 0.1, 0.2, 0.22, 0.24, 0.26, 0.3]
    assert one(rare, [0, 0, 0, 0, 1, 1, 1, 1, 1]) == pytest.approx(0.15)
    # Rows of equal probability are given the label together.
    assert one([0.1, 0.2, 0.2, 0.3, 0.3, 0.3, 0.3], [0, 0, 1, 1, 1, 1, 1]) == pytest.approx(0.15)
    assert one([0.6, 0.7, 0.8, 0.9, 0.9, 0.9, 0.9], [0, 0, 1, 1, 1, 1, 1]) == pytest.approx(0.75)


def test_half_stays_where_no_other_threshold_is_better() -> None:
    assert one([0.1, 0.2, 0.7, 0.8, 0.8, 0.9, 0.9], [0, 0, 1, 1, 1, 1, 1]) == 0.5
    assert one([0.6, 0.7, 0.8, 0.9, 0.95], [1, 1, 1, 1, 1]) == 0.5
    assert one([0.4] * 9, [1] * 5 + [0] * 4) == 0.5


def test_of_equally_good_thresholds_the_nearest_to_half_is_taken() -> None:
    # Of 4, 7 and 10 rows that are given the label, 3, 4 and 5 are right, of 5 in all: F1 is 6/9 = 8/12 = 10/15.
    applies = [1, 1, 1, 0, 1, 0, 0, 1, 0, 0, 0]
    assert one([0.45] * 4 + [0.3] * 3 + [0.2] * 3 + [0.1], applies) == pytest.approx(0.375)
    # 0.25 and 0.75 are as far from 0.5, which is worse: there 3 of 6 are right.
    applies = [1, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0]
    assert one([0.9] * 4 + [0.6] * 2 + [0.4] * 4 + [0.1], applies) == 0.25


def test_labels_of_few_rows_keep_half() -> None:
    assert one([0.1, 0.2, 0.2, 0.3, 0.3], [0, 1, 1, 1, 1]) == 0.5
    assert thresholds.choose(np.zeros((0, 2)), np.zeros((0, 2), dtype=bool)).tolist() == [0.5, 0.5]


def test_neighbouring_numbers_are_told_apart() -> None:
    low = 0.2
    high = np.nextafter(low, 1)
    threshold = one([low, low, *[high] * 5], [0, 0, 1, 1, 1, 1, 1])
    assert low < threshold <= high


@pytest.mark.parametrize("seed", range(20))
def test_no_other_candidate_is_better(seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows = int(generator.integers(6, 60))
    Y = generator.random((rows, 6)) < generator.uniform(0.05, 0.9, 6)
    P = np.clip(0.4 * Y * generator.random() + 0.6 * generator.random((rows, 6)), 0, 1)
    P = P.round(1) if seed % 2 else P
    chosen = thresholds.choose(P, Y)
    for k in range(6):
        if Y[:, k].sum() < 5:
            assert chosen[k] == 0.5
            continue
        distinct = sorted(set(P[:, k]))
        candidates = [0.5, *((low + high) / 2 for low, high in pairwise(distinct))]
        f1 = {t: f1_score(Y[:, k], P[:, k] >= t, zero_division=0) for t in candidates}
        best = max(f1.values())
        equal = [t for t in f1 if f1[t] == pytest.approx(best, abs=1e-12)]
        assert chosen[k] == min(equal, key=lambda t: (abs(t - 0.5), t))
        assert f1_score(Y[:, k], thresholds.decide(P, chosen)[:, k]) == pytest.approx(best)
