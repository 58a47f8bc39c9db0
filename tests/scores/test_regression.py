"""Metrics of numbers: those of scikit-learn and scipy, and intervals around them."""

import numpy as np
import pytest
import sklearn.metrics as sk
from scipy.stats import spearmanr

from stages.scores import bootstrap, regression

DRAWN = {"resamples": 300, "seed": 0}


def sample(rows: int, seed: int = 0, noise: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.normal(size=rows) + 1000
    return truth, truth + noise * generator.normal(size=rows)


def wanted(truth: np.ndarray, guess: np.ndarray) -> dict[str, float]:
    return {
        "mean_absolute_error": sk.mean_absolute_error(truth, guess),
        "root_mean_squared_error": sk.root_mean_squared_error(truth, guess),
        "r2": sk.r2_score(truth, guess),
        "spearman": spearmanr(truth, guess).statistic,
    }


@pytest.mark.parametrize(("rows", "digits"), [(2, 8), (3, 8), (100, 8), (100, 0)])
def test_headline_metrics_are_those_of_scikit_learn_and_scipy(rows: int, digits: int) -> None:
    truth, guess = (values.round(digits) for values in sample(rows, seed=3, noise=1.5))
    assert regression.headline(truth, guess) == pytest.approx(wanted(truth, guess))


def test_undefined_metrics_are_left_out() -> None:
    errors = {"mean_absolute_error", "root_mean_squared_error"}
    truth, guess = sample(9)
    assert regression.headline(truth[:1], guess[:1]).keys() == errors
    assert regression.headline(np.full(9, 0.1), guess).keys() == errors
    assert regression.headline(truth, np.full(9, 0.1)).keys() == {*errors, "r2"}


def test_weighted_rows_count_as_often_as_they_are_drawn() -> None:
    truth, guess = (values.round(1) for values in sample(30))
    model = regression.row_metrics(truth, guess)
    counts = np.random.default_rng(0).multinomial(30, np.full(30, 1 / 30), size=5)
    values = model.from_means(counts / 30 @ model.values) | model.from_weights(counts.T / 30)
    for k in range(5):
        drawn = np.repeat(np.arange(30), counts[k])
        assert {name: value[k] for name, value in values.items()} == pytest.approx(wanted(truth[drawn], guess[drawn]))


def test_every_metric_has_an_interval_around_it() -> None:
    truth, guess = sample(60)
    model, worse = regression.row_metrics(truth, guess), regression.row_metrics(truth, sample(60, 1, noise=3)[1])
    point, ends = model.headline(), bootstrap.for_model(model, **DRAWN)
    assert list(ends) == list(point)
    assert all(low < point[name] < high for name, (low, high) in ends.items())
    for name, (low, high) in bootstrap.for_difference(model, worse, **DRAWN).items():
        assert high < 0 if name.endswith("error") else low > 0, name
    for rows in (1, 2, 3):
        few = regression.row_metrics(truth[:rows], guess[:rows])
        assert np.isfinite(list(bootstrap.for_model(few, **DRAWN).values())).all()


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    truth = {"mean_absolute_error": 0.5 * np.sqrt(2 / np.pi), "root_mean_squared_error": 0.5, "r2": 0.75}
    held = dict.fromkeys(truth, 0)
    for seed in range(200):
        ends = bootstrap.for_model(regression.row_metrics(*sample(60, seed)), resamples=200, seed=seed)
        for name, value in truth.items():
            held[name] += ends[name][0] <= value <= ends[name][1]
    assert 0.88 * 200 <= min(held.values()) <= max(held.values()) <= 0.99 * 200, held
