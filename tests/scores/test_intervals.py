"""Intervals of metrics: they hold the truth as often as they say, at the edges too."""

import numpy as np
import pytest

from stages.scores import class_metrics, intervals, metrics, proportions
from tests.benchmarks.intervals import coverage, predictions

DRAWN = {"resamples": 300, "seed": 0}


def sample(rows: int, classes: int, accuracy: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = np.arange(rows) % classes
    return truth, predictions(truth, generator.random(rows) < accuracy, classes, generator)


@pytest.mark.parametrize("rows", [10, 50, 200])
@pytest.mark.parametrize("classes", [2, 8, 77])
def test_intervals_hold_the_truth_as_often_as_they_say(rows: int, classes: int) -> None:
    """A small part of tests.benchmarks.intervals; 200 draws of a share of 0.95 lie above 0.9 with a chance of 0.998."""
    held = coverage(rows, classes, (0.9, 0.9), draws=200, resamples=300)
    assert min(held.values()) >= 0.9, held
    if rows == 200:
        assert max(held.values()) <= 0.99, held


@pytest.mark.parametrize("classes", [2, 8])
def test_all_rows_right_does_not_mean_certain(classes: int) -> None:
    truth, P = sample(26, classes, 1.0)
    ends = intervals.for_model(truth, P, **DRAWN)
    assert ends["accuracy"] == pytest.approx((0.8677, 1), abs=1e-4)
    for name in ("macro_f1", "balanced_accuracy", "weighted_f1"):
        low, high = ends[name]
        assert 0.7 < low < 0.95 and high == 1
    if classes == 2:
        for name in ("roc_auc", "average_precision"):
            assert 0.7 < ends[name][0] < 0.95 and ends[name][1] == 1


def test_a_model_that_always_says_one_class_is_not_certain() -> None:
    truth = np.arange(50) % 6
    P = np.tile([0.75, 0.05, 0.05, 0.05, 0.05, 0.05], (50, 1))
    low, high = intervals.for_model(truth, P, **DRAWN)["accuracy"]
    assert low < 0.1 and high > 0.28


def test_every_metric_has_an_interval_around_it() -> None:
    for classes in (2, 5, 11):
        truth, P = sample(60, classes, 0.8)
        point = metrics.headline(truth, P)
        ends = intervals.for_model(truth, P, **DRAWN)
        assert ends.keys() == point.keys()
        assert all(low <= point[name] <= high and low < high for name, (low, high) in ends.items())


def test_pairing_makes_a_difference_narrow() -> None:
    truth, P = sample(300, 3, 0.8)
    Q = P.copy()
    Q[:4] = np.eye(3)[truth[:4]]
    paired = intervals.for_difference(truth, Q, P, **DRAWN)
    alone = intervals.for_model(truth, P, **DRAWN)
    for name in ("accuracy", "macro_f1", "balanced_accuracy", "weighted_f1", "log_loss"):
        widths = [high - low for low, high in (paired[name], alone[name])]
        assert widths[0] < 0.6 * widths[1], name


def test_correlations_may_be_negative() -> None:
    truth, P = sample(200, 2, 0.5)
    low, high = intervals.for_model(truth, P, **DRAWN)["matthews_correlation"]
    assert -0.3 < low < 0 < high < 0.3
    ends = intervals.for_difference(truth, np.eye(2)[truth], np.eye(2)[1 - truth], **DRAWN)
    assert 1.5 < ends["matthews_correlation"][0] < ends["matthews_correlation"][1] <= 2
    ends = intervals.for_model(truth, np.eye(2)[1 - truth], **DRAWN)
    assert ends["matthews_correlation"][0] == -1 < ends["matthews_correlation"][1] < -0.8


def test_intervals_of_the_top_labels_are_those_of_shares() -> None:
    truth, P = sample(100, 11, 0.6)
    Q = sample(100, 11, 0.4, seed=1)[1]
    in_top, other = (metrics.in_top(truth, part)["top_3_accuracy"] for part in (P, Q))
    assert intervals.for_model(truth, P, **DRAWN)["top_3_accuracy"] == proportions.interval(int(in_top.sum()), 100)
    wins, losses = int((in_top & ~other).sum()), int((other & ~in_top).sum())
    ends = intervals.for_difference(truth, P, Q, **DRAWN)["top_3_accuracy"]
    assert ends == proportions.difference_interval(wins, losses, 100)


def test_equal_models_do_not_differ() -> None:
    truth, P = sample(40, 2, 0.9)
    for name, (low, high) in intervals.for_difference(truth, P, P, **DRAWN).items():
        assert low <= 0 <= high, name


def test_a_difference_turns_its_sign_with_the_models() -> None:
    truth, P = sample(80, 2, 0.9)
    _, Q = sample(80, 2, 0.6, seed=1)
    forth, back = (intervals.for_difference(truth, *models, **DRAWN) for models in ((P, Q), (Q, P)))
    for name, (low, high) in forth.items():
        assert low > 0 or name == "log_loss"
        assert back[name] == pytest.approx((-high, -low), abs=0.05), name


def test_intervals_are_repeatable_and_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, P = sample(100, 2, 0.8)
    first = intervals.for_model(truth, P, **DRAWN)
    assert first == intervals.for_model(truth, P, **DRAWN)
    assert first != intervals.for_model(truth, P, resamples=300, seed=2)
    assert (
        intervals.for_model(truth, P, resamples=0, seed=0)
        == {}
        == intervals.for_difference(truth, P, P, resamples=0, seed=0)
    )
    monkeypatch.setattr(intervals, "BLOCK_VALUES", 100 * 7)
    monkeypatch.setattr(class_metrics, "BLOCK_VALUES", 40)
    for name, interval in intervals.for_model(truth, P, **DRAWN).items():
        assert first[name] == pytest.approx(interval, abs=0.05)


def test_few_rows_and_absent_classes_break_nothing() -> None:
    assert intervals.for_model(np.array([1]), np.array([[0.2, 0.8]]), **DRAWN)["accuracy"] == (0.025, 1)
    truth, P = sample(40, 4, 0.8)
    seen = truth < 2
    ends = intervals.for_model(truth[seen], P[seen], **DRAWN)
    point = metrics.headline(truth[seen], P[seen])
    assert all(low <= point[name] <= high for name, (low, high) in ends.items())
    P = P[seen][:, :2] / P[seen][:, :2].sum(axis=1, keepdims=True)
    assert "roc_auc" not in intervals.for_model(np.zeros(20, dtype=int), P, **DRAWN)


def test_similar_classes_lend_more_than_different_ones() -> None:
    """Ten classes of which half are always right and half never: the recall of a class is then its own."""
    truth = np.arange(200) % 10
    generator = np.random.default_rng(0)
    split = predictions(truth, truth < 5, 10, generator).argmax(axis=1)
    mixed = predictions(truth, generator.random(200) < 0.5, 10, generator).argmax(axis=1)
    widths = []
    for guess in (split, mixed):
        (draws,) = class_metrics.draws(truth, [guess], 10, samples=1000, generator=np.random.default_rng(1))
        widths.append(np.std(draws["balanced_accuracy"]))
    assert widths[0] < 0.7 * widths[1]


def test_many_rows_are_drawn_in_groups_of_nearly_the_same_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    truth = np.arange(12_000) % 3
    P = generator.dirichlet(np.ones(3), 12_000) + 0.3 * np.eye(3)[truth]
    P /= P.sum(axis=1, keepdims=True)
    losses = -np.log(P[np.arange(12_000), truth])
    values, shares = intervals._grouped(losses)
    assert len(values) == intervals.RESAMPLED_GROUPS and values @ shares == pytest.approx(losses.mean())
    assert 0.99 < (shares @ (values - losses.mean()) ** 2) / losses.var() <= 1
    grouped = intervals.for_model(truth, P, resamples=2_000, seed=0)["log_loss"]
    monkeypatch.setattr(intervals, "MAX_RESAMPLED_ROWS", 12_000)
    one_by_one = intervals.for_model(truth, P, resamples=2_000, seed=0)["log_loss"]
    half = (one_by_one[1] - one_by_one[0]) / 2
    np.testing.assert_allclose(grouped, one_by_one, atol=0.1 * half)


def test_of_several_draws_of_folds_every_interval_is_about_the_mean() -> None:
    """The first draw was unlucky: its accuracy is 0.7, and the mean over all draws 0.8."""
    truth = np.arange(100) % 2
    right = np.random.default_rng(0).permutation(100) < 70
    guess = np.where(right, truth, 1 - truth)
    P = np.stack([1 - 0.8 * guess - 0.1, 0.8 * guess + 0.1], axis=1)
    point = {**metrics.headline(truth, P), "accuracy": 0.8, "macro_f1": 0.8}
    ends = intervals.for_model(truth, P, resamples=500, seed=0, point=point, spread=1.16)
    assert ends["macro_f1"] == pytest.approx(ends["accuracy"], abs=0.02)
    constant = np.tile([0.6, 0.4], (100, 1))
    points = (point, metrics.headline(truth, constant))
    ends = intervals.for_difference(
        truth, P, constant, resamples=500, seed=0, points=points, wins_losses=(40 / 1.16, 10 / 1.16), spread=1.16
    )
    low, high = ends["macro_f1"]
    change = points[0]["macro_f1"] - points[1]["macro_f1"]
    assert (low + high) / 2 == pytest.approx(change, abs=0.03)
