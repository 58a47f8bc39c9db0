"""Metrics of ordered classes: those of scikit-learn and scipy, and intervals around them."""

import numpy as np
import pytest
import sklearn.metrics as sk
from scipy.stats import spearmanr

from stages.common.metric_directions import is_higher_better
from stages.scores import bootstrap, ordinal, proportions

DRAWN = {"resamples": 300, "seed": 0}


def sample(rows: int, seed: int = 0, noise: float = 1) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 5, rows)
    return truth, np.clip(truth + noise * generator.normal(size=rows), 0, 4).round().astype(int)


def certain(guess: np.ndarray) -> np.ndarray:
    """Return (rows, 5) probabilities: all of the predicted class."""
    return np.eye(5)[guess]


def wanted(truth: np.ndarray, guess: np.ndarray) -> dict[str, float]:
    return {
        "accuracy": sk.accuracy_score(truth, guess),
        "mean_absolute_error": sk.mean_absolute_error(truth, guess),
        "quadratic_weighted_kappa": sk.cohen_kappa_score(truth, guess, weights="quadratic"),
        "spearman": spearmanr(truth, guess).statistic,
        "log_loss": sk.log_loss(truth, certain(guess), labels=range(5)),
    }


@pytest.mark.parametrize("rows", [4, 100])
def test_headline_metrics_are_those_of_scikit_learn_and_scipy(rows: int) -> None:
    truth, guess = sample(rows)
    assert ordinal.headline(truth, certain(guess)) == pytest.approx(wanted(truth, guess))
    backwards = 4 - truth
    assert ordinal.headline(truth, certain(backwards)) == pytest.approx(wanted(truth, backwards))


def test_undefined_metrics_are_left_out() -> None:
    same, guess = np.full(9, 3), sample(9)[1]
    assert ordinal.headline(same, certain(same)) == {"accuracy": 1, "mean_absolute_error": 0, "log_loss": 0}
    values = ordinal.headline(same, certain(guess))
    assert values["quadratic_weighted_kappa"] == pytest.approx(0) and "spearman" not in values


def test_weighted_rows_count_as_often_as_they_are_drawn() -> None:
    truth, guess = sample(30)
    model = ordinal.row_metrics(truth, certain(guess))
    counts = np.random.default_rng(0).multinomial(30, np.full(30, 1 / 30), size=5)
    values = model.from_means(counts / 30 @ model.values) | model.from_weights(counts.T / 30)
    for k in range(5):
        drawn = np.repeat(np.arange(30), counts[k])
        assert {name: value[k] for name, value in values.items()} == pytest.approx(wanted(truth[drawn], guess[drawn]))


def test_the_median_class_makes_the_expected_steps_the_least() -> None:
    P = np.random.default_rng(0).dirichlet(np.ones(5), 200)
    steps = np.abs(np.arange(5)[:, None] - np.arange(5))
    assert (ordinal.median_class(P) == (P @ steps).argmin(axis=1)).all()
    # The likeliest class is the lowest, but more than half of the probability lies above it.
    assert ordinal.median_class(np.array([[0.4, 0.3, 0.3], [0.5, 0.0, 0.5], [0, 0, 1.0]])).tolist() == [1, 0, 2]


def test_every_metric_has_an_interval_around_it() -> None:
    truth, guess = sample(60)
    model, worse = ordinal.row_metrics(truth, certain(guess)), ordinal.row_metrics(truth, certain(sample(60, 1)[1]))
    point, ends = model.headline(), bootstrap.for_model(model, **DRAWN)
    assert list(ends) == list(point)
    assert all(low < point[name] < high for name, (low, high) in ends.items())
    assert ends["accuracy"] == proportions.interval(int((truth == guess).sum()), 60)
    for name, (low, high) in bootstrap.for_difference(model, worse, **DRAWN).items():
        assert low > 0 if is_higher_better(name) else high < 0, name


def test_all_rows_right_does_not_mean_certain() -> None:
    truth, _ = sample(26)
    ends = bootstrap.for_model(ordinal.row_metrics(truth, certain(truth)), **DRAWN)
    assert ends["mean_absolute_error"][0] == 0 < ends["mean_absolute_error"][1]
    assert 0.8 < ends["quadratic_weighted_kappa"][0] < ends["quadratic_weighted_kappa"][1] == 1
