"""Intervals of metrics by resampled rows: around the metric, repeatable, not certain of few rows."""

import numpy as np
import pytest

from stages.scores import bootstrap, multilabel, proportions, resampling
from stages.scores.row_metrics import RowMetrics
from tests.benchmarks.row_intervals import EVEN, coverage, labels

DRAWN = {"resamples": 300, "seed": 0}


def sample(rows: int, seed: int = 0, skill: float = 2.5) -> tuple[RowMetrics, RowMetrics]:
    return labels(EVEN, skill)(rows, np.random.default_rng(seed))


def perfect(rows: int) -> RowMetrics:
    Y = np.random.default_rng(0).random((rows, 4)) < 0.4
    return multilabel.row_metrics(Y, np.where(Y, 0.9, 0.1), Y)


@pytest.mark.parametrize("rows", [50, 200])
def test_intervals_hold_the_truth_as_often_as_they_say(rows: int) -> None:
    """A small part of tests.benchmarks.row_intervals; 200 draws of a share of 0.95 lie above 0.9 with 0.998."""
    held = coverage(labels(EVEN, 2.5), rows, draws=200, resamples=200)
    for name in ("micro_f1", "macro_f1", "accuracy", "hamming_loss", "log_loss"):
        assert min(held[name]) >= 0.89, (name, held[name])
        assert max(held[name]) <= 0.99, (name, held[name])


def test_every_metric_has_an_interval_around_it() -> None:
    for rows in (5, 60):
        model, _ = sample(rows)
        point = model.headline()
        ends = bootstrap.for_model(model, **DRAWN)
        assert list(ends) == list(point)
        assert all(low <= point[name] <= high and low < high for name, (low, high) in ends.items())


def test_the_share_of_right_rows_has_the_intervals_of_shares() -> None:
    first, second = sample(80)
    hits = int(first.right.sum())
    assert bootstrap.for_model(first, **DRAWN)["accuracy"] == proportions.interval(hits, 80)
    wins, losses = proportions.wins_and_losses(first.right, second.right)
    ends = bootstrap.for_difference(first, second, **DRAWN)
    assert ends["accuracy"] == proportions.difference_interval(wins, losses, 80)


def test_all_rows_right_does_not_mean_certain() -> None:
    ends = bootstrap.for_model(perfect(26), **DRAWN)
    for name in ("micro_f1", "macro_f1", "mean_average_precision"):
        low, high = ends[name]
        assert 0.6 < low < 0.99 and high == 1, name
    assert ends["hamming_loss"][0] == 0 < ends["hamming_loss"][1] < 0.2
    ends = bootstrap.for_difference(perfect(26), perfect(26), **DRAWN)
    assert ends["micro_f1"][0] < 0 < ends["micro_f1"][1]


def test_all_rows_wrong_does_not_mean_certain() -> None:
    Y = np.random.default_rng(0).random((26, 4)) < 0.4
    ends = bootstrap.for_model(multilabel.row_metrics(Y, np.where(Y, 0.1, 0.9), ~Y), **DRAWN)
    assert ends["micro_f1"][0] == 0 < ends["micro_f1"][1] < 0.3
    assert 0.8 < ends["hamming_loss"][0] < ends["hamming_loss"][1] == 1


def test_few_rows_and_labels_without_rows_break_nothing() -> None:
    Y = np.zeros((3, 2), dtype=bool)
    for truth, given in ((Y, Y), (Y, ~Y), (~Y, Y), (Y[:1], ~Y[:1]), (~Y[:1], ~Y[:1])):
        model = multilabel.row_metrics(truth, np.full(truth.shape, 0.3), given)
        ends = bootstrap.for_model(model, **DRAWN)
        assert ends.keys() == model.headline().keys()
        assert np.isfinite(list(ends.values())).all()
        assert np.isfinite(list(bootstrap.for_difference(model, model, **DRAWN).values())).all()


def test_pairing_makes_a_difference_narrow() -> None:
    generator = np.random.default_rng(0)
    Y = generator.random((300, 4)) < 0.4
    P = np.clip(0.3 * Y + 0.7 * generator.random(Y.shape), 0, 1)
    better = P.copy()
    better[:4] = Y[:4]
    models = [multilabel.row_metrics(Y, part, part >= 0.5) for part in (better, P)]
    paired, alone = bootstrap.for_difference(*models, **DRAWN), bootstrap.for_model(models[1], **DRAWN)
    for name in alone:
        widths = [high - low for low, high in (paired[name], alone[name])]
        assert widths[0] < 0.6 * widths[1], name


def test_a_difference_turns_its_sign_with_the_models() -> None:
    good, bad = sample(100, skill=4)[0], sample(100, skill=0.5)[0]
    forth, back = (bootstrap.for_difference(*models, **DRAWN) for models in ((good, bad), (bad, good)))
    for name, (low, high) in forth.items():
        assert high < 0 if name.endswith("loss") else low > 0, name
        assert back[name] == pytest.approx((-high, -low), abs=0.05), name


def test_intervals_are_repeatable_and_hardly_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    model, other = sample(100)
    first = bootstrap.for_model(model, **DRAWN)
    assert first == bootstrap.for_model(model, **DRAWN) != bootstrap.for_model(model, resamples=300, seed=1)
    assert bootstrap.for_model(model, resamples=0, seed=0) == {}
    assert bootstrap.for_difference(model, other, resamples=0, seed=0) == {}
    monkeypatch.setattr(resampling, "BLOCK_VALUES", 100 * 70)
    for name, ends in bootstrap.for_model(model, **DRAWN).items():
        assert first[name] == pytest.approx(ends, abs=0.04), name


def test_many_rows_are_drawn_in_random_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = sample(3000)
    one_by_one = bootstrap.for_model(model, resamples=1000, seed=0)
    monkeypatch.setattr(resampling, "MAX_RESAMPLED_ROWS", 1000)
    monkeypatch.setattr(resampling, "RESAMPLED_GROUPS", 400)  # of outcomes with 1.5 to 6 times as many rows
    for name, (low, high) in bootstrap.for_model(model, resamples=1000, seed=0).items():
        assert one_by_one[name] == pytest.approx((low, high), abs=0.3 * (high - low)), name


def test_metrics_of_ranks_get_fewer_resamples_of_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "MAX_RANKED_VALUES", 1)
    monkeypatch.setattr(resampling, "BLOCK_VALUES", 60 * 150)
    (drawn,) = resampling.draws([sample(60)[0]], resamples=500, generator=np.random.default_rng(0))
    sizes = {name: len(values) for name, values in drawn.items()}
    assert sizes.pop("mean_average_precision") == resampling.MIN_RANKED_RESAMPLES
    assert set(sizes.values()) == {500}


def test_of_several_draws_of_folds_every_interval_is_about_the_mean() -> None:
    model, other = sample(200, skill=1.5)
    own, rest = model.headline(), other.headline()
    point = {name: value + 0.02 for name, value in own.items()}
    plain = bootstrap.for_model(model, **DRAWN)
    for name, (low, high) in bootstrap.for_model(model, **DRAWN, point=point, spread=4).items():
        assert (low + high) / 2 == pytest.approx(sum(plain[name]) / 2 + 0.02, abs=0.03), name
        assert high - low == pytest.approx(2 * (plain[name][1] - plain[name][0]), rel=0.1), name
    ends = bootstrap.for_difference(model, other, **DRAWN, points=(point, rest), spread=4, wins_losses=(5, 4))
    assert ends["accuracy"] == proportions.difference_interval(5, 4, 50)
    middle = own["micro_f1"] - rest["micro_f1"] + 0.02
    assert sum(ends["micro_f1"]) / 2 == pytest.approx(middle, abs=0.02)
