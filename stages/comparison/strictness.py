"""The settings by which the gate judges: the stricter of the baseline's and the workspace's.

A change cannot pass by its own new tolerances; they count once they are merged.
"""

from collections.abc import Iterator
from typing import Any

from stages.common.gate_params import GateMetric, GateParams


def strictest(base: GateParams, own: GateParams) -> GateParams:
    """Take the smaller tolerance and the harder floor of every metric; what has no order is the baseline's."""
    metrics = {**own.metrics, **base.metrics}
    for name in base.metrics.keys() & own.metrics.keys():
        metrics[name] = _stricter(base.metrics[name], own.metrics[name])
    return GateParams(metrics=metrics, bootstrap=base.bootstrap, seed=base.seed)


def changes(base: GateParams, own: GateParams) -> Iterator[tuple[str, str, str]]:
    """Yield (setting, before, now) for all that differ; a metric that one of them does not judge has no settings."""
    before, now = (dict(_flat(settings)) for settings in (base, own))
    for name in {**before, **now}:
        if before.get(name) != now.get(name):
            yield name, _shown(before.get(name)), _shown(now.get(name))


def _stricter(base: GateMetric, own: GateMetric) -> GateMetric:
    floors = [metric.floor for metric in (base, own) if metric.floor is not None]
    return GateMetric(
        higher_is_better=base.higher_is_better,
        tolerance=min(base.tolerance, own.tolerance),
        floor=(max if base.higher_is_better else min)(floors, default=None),
    )


def _shown(value: object) -> str:
    return "not set" if value is None else str(value)


def _flat(settings: GateParams) -> Iterator[tuple[str, Any]]:
    for name, metric in settings.metrics.items():
        for key, value in metric.model_dump().items():
            yield f"gate.metrics.{name}.{key}", value
    yield "gate.bootstrap", settings.bootstrap
    yield "gate.seed", settings.seed
