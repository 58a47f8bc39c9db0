"""Two evaluations compared row by row: which metrics got better or worse, and whether chance alone explains it.

Test rows have the same id wherever they are evaluated, so the difference of each metric can be resampled over pairs
(see `metrics.bootstrap`): what both models find hard cancels out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from stages.common.params import GateMetric, GateParams
from stages.scores import metrics

Verdict = Literal["better", "same", "worse", "incomparable"]
SHIPPED = ("finetuned", "head")  # the model that a team ships: the first of these that there is


@dataclass(frozen=True)
class Scored:
    """What the shipped model of an evaluation says of its test rows."""

    model: str
    ids: np.ndarray  # (rows,)
    truth: np.ndarray  # (rows,) names of labels
    labels: tuple[str, ...]
    P: np.ndarray  # (rows, labels)


@dataclass(frozen=True)
class Difference:
    """One metric of both, on the rows that both have. Values are None where the metric is not defined."""

    metric: str
    settings: GateMetric
    before: float | None
    after: float | None
    interval: tuple[float, float] | None  # of after - before, 95 %
    verdict: Verdict
    under_floor: bool


@dataclass(frozen=True)
class Comparison:
    """All metrics, and what became of the test rows. `reason` says why nothing could be compared."""

    differences: tuple[Difference, ...]
    common: int
    new: int
    lost: int
    relabelled: int
    reason: str | None

    @property
    def passed(self) -> bool:
        """Whether nothing is worse beyond its tolerance, or worse than its floor."""
        return not any(each.verdict == "worse" or each.under_floor for each in self.differences)


def read(predictions: pa.Table) -> Scored:
    """The shipped model's rows of a predictions.parquet.

    Raises:
        KeyError, ValueError: the table is not one that evaluate wrote.
    """
    models = predictions["model"].to_pylist()
    shipped = next((name for name in SHIPPED if name in models), None)
    if shipped is None:
        raise ValueError(f"no rows of {' or '.join(SHIPPED)}")
    rows = predictions.filter(pa.array([name == shipped for name in models]))
    labels = tuple(name.removeprefix("p_") for name in rows.column_names if name.startswith("p_"))
    ids, truth = (np.array(rows[name].to_pylist(), dtype=object) for name in ("id", "label"))
    P = np.stack([rows[f"p_{label}"].to_numpy().astype(np.float64) for label in labels], axis=1)
    return Scored(shipped, ids, truth, labels, P)


def compare(before: Scored | None, after: Scored, settings: GateParams) -> Comparison:
    """Compare `after` with the baseline `before`; None where there is none, and floors alone are judged."""
    reason = None
    places: list[tuple[int, int]] = []
    new = lost = relabelled = 0
    if before is None:
        reason = "there is no baseline"
    else:
        known = {each: row for row, each in enumerate(before.ids)}
        shared = [(known[each], row) for row, each in enumerate(after.ids) if each in known]
        places = [(old, now) for old, now in shared if before.truth[old] == after.truth[now]]
        relabelled = len(shared) - len(places)
        new, lost = len(after.ids) - len(shared), len(before.ids) - len(shared)
        if set(before.labels) != set(after.labels):
            reason = f"the classes differ: {_label_difference(before.labels, after.labels)}"
        elif not places:
            reason = "the two have no test row in common"
    if reason or before is None:
        found = metrics.headline(*_aligned(after, after.labels, np.arange(len(after.ids))))
        differences = [_incomparable(name, each, found.get(name)) for name, each in settings.metrics.items()]
    else:
        old, now = (np.array(part) for part in zip(*places, strict=True))
        truth, P = _aligned(before, after.labels, old)
        _, Q = _aligned(after, after.labels, now)
        differences = _differences(truth, P, Q, settings)
    return Comparison(tuple(differences), len(places), new, lost, relabelled, reason)


def _differences(truth: np.ndarray, P: np.ndarray, Q: np.ndarray, settings: GateParams) -> list[Difference]:
    values = metrics.bootstrap(truth, {"before": P, "after": Q}, resamples=settings.bootstrap, seed=settings.seed)
    intervals = metrics.intervals({name: values["after"][name] - values["before"][name] for name in values["after"]})
    before, after = metrics.headline(truth, P), metrics.headline(truth, Q)
    out = []
    for name, each in settings.metrics.items():
        interval = intervals.get(name)
        if interval is None:
            out.append(_incomparable(name, each, after.get(name)))
            continue
        gain = interval if each.higher_is_better else (-interval[1], -interval[0])
        verdict: Verdict = "same"
        if gain[1] < -each.tolerance:
            verdict = "worse"
        elif gain[0] > each.tolerance:
            verdict = "better"
        under = _under_floor(each, after[name])
        out.append(Difference(name, each, before[name], after[name], interval, verdict, under))
    return out


def _incomparable(name: str, settings: GateMetric, after: float | None) -> Difference:
    under = after is not None and _under_floor(settings, after)
    return Difference(name, settings, None, after, None, "incomparable", under)


def _under_floor(settings: GateMetric, value: float) -> bool:
    if settings.floor is None:
        return False
    return value < settings.floor if settings.higher_is_better else value > settings.floor


def _aligned(scored: Scored, labels: tuple[str, ...], rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Label indices and probabilities of some rows, in the order of `labels`."""
    order = [scored.labels.index(label) for label in labels]
    place: Mapping[str, int] = {label: index for index, label in enumerate(labels)}
    return np.array([place[label] for label in scored.truth[rows]]), scored.P[rows][:, order]


def _label_difference(before: tuple[str, ...], after: tuple[str, ...]) -> str:
    parts = []
    for words, names in (("new", set(after) - set(before)), ("gone", set(before) - set(after))):
        if names:
            listed = ", ".join(sorted(names)[:5])
            parts.append(f"{listed}{' …' if len(names) > 5 else ''} {'is' if len(names) == 1 else 'are'} {words}")
    return "; ".join(parts)
