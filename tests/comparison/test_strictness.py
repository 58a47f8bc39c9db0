import pytest

from stages.common.gate_params import GateMetric, GateParams
from stages.comparison import strictness


@pytest.mark.parametrize(
    ("base", "own", "stricter"),
    [
        ({"tolerance": 0.1}, {"tolerance": 0.5}, {"tolerance": 0.1}),
        ({"tolerance": 0.5}, {"tolerance": 0.1}, {"tolerance": 0.1}),
        ({"floor": 0.8}, {}, {"floor": 0.8}),
        ({}, {"floor": 0.8}, {"floor": 0.8}),
        ({"floor": 0.8}, {"floor": 0.7}, {"floor": 0.8}),
    ],
)
def test_the_stricter_counts(base: dict[str, float], own: dict[str, float], stricter: dict[str, float]) -> None:
    merged = strictness.strictest(*(GateParams(metrics={"accuracy": GateMetric(**part)}) for part in (base, own)))
    assert merged.metrics == {"accuracy": GateMetric(**stricter)}


def test_the_stricter_floor_of_a_loss_is_the_lower() -> None:
    base, own = (GateParams(metrics={"log_loss": GateMetric(floor=floor)}) for floor in (0.7, 0.5))
    assert strictness.strictest(base, own) == own == strictness.strictest(own, base)


def test_metrics_of_both_are_judged_with_the_resamples_of_the_base() -> None:
    base = GateParams(metrics={"accuracy": GateMetric()}, bootstrap=500, seed=3)
    own = GateParams(metrics={"macro_f1": GateMetric()}, bootstrap=100, seed=4)
    merged = strictness.strictest(base, own)
    assert {*merged.metrics} == {"accuracy", "macro_f1"} and (merged.bootstrap, merged.seed) == (500, 3)


def test_changes_are_those_that_count() -> None:
    assert not list(strictness.changes(GateParams(), GateParams(metrics=GateParams().metrics)))
    own = GateParams(metrics={**GateParams().metrics, "accuracy": GateMetric(floor=0.5)}, seed=1)
    assert list(strictness.changes(GateParams(), own)) == [
        ("gate.metrics.accuracy.floor", "not set", "0.5"),
        ("gate.seed", "0", "1"),
    ]
