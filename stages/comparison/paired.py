"""Compare two evaluations row by row: which metrics got better or worse, beyond chance.

A row has the same id in every evaluation, so differences are of pairs of rows (`intervals.for_difference`): rows that
are hard for both models cancel out. Rows may be test rows or cross-validated: neither model has seen the row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from stages.common.errors import listed
from stages.common.gate_params import GateMetric, GateParams
from stages.comparison.predictions import Predictions
from stages.scores import intervals
from stages.tasks import Task

if TYPE_CHECKING:
    import pandas as pd

Verdict = Literal["better", "same", "worse", "undefined", "incomparable"]
ROUNDING = 1e-5  # of probabilities, which are stored as float32


@dataclass(frozen=True)
class Difference:
    """One metric before and after, on the rows in common; None where the metric is not defined."""

    metric: str
    settings: GateMetric
    before: float | None
    after: float | None
    interval: tuple[float, float] | None  # of after - before, 95 %
    verdict: Verdict
    under_floor: bool


@dataclass(frozen=True)
class Comparison:
    """All differences and counts of judged rows.

    `reason` tells why nothing could be compared; `undefined` which metrics are not defined for the rows. `noun` names a
    row.
    """

    differences: tuple[Difference, ...]
    common: int
    new: int
    lost: int
    relabelled: int
    reason: str | None
    undefined: str | None
    noun: str = "test row"

    @property
    def passed(self) -> bool:
        """Tell whether no metric is worse beyond its tolerance, worse than its floor, or no longer defined."""
        return not any(
            difference.verdict in ("worse", "undefined") or difference.under_floor for difference in self.differences
        )

    @property
    def other_data(self) -> str | None:
        """Tell that the evaluations are of different test rows; None if they are of the same."""
        counts = ((self.new, "new"), (self.lost, "gone"), (self.relabelled, "labelled otherwise"))
        if not any(number for number, _ in counts):
            return None
        changes = listed(f"{number:,} {change}" for number, change in counts if number)
        compared = "nothing is compared" if self.reason else f"only the {self.common:,} in common are compared"
        return f"the two evaluations are of different {self.noun}s ({changes}): {compared}"


def compare(before: Predictions | None, after: Predictions, settings: GateParams) -> Comparison:
    """Compare `after` with the baseline `before`; without a baseline only floors are checked.

    With the metrics that params.yaml came with, those of the task are compared (`GateParams.for_task`).
    """
    settings = settings.for_task(after.task.primary, after.task.second)
    if before is None:
        differences = _check_floors(after, settings)
        undefined = _undefined(differences, after.noun, is_compared=False)
        return Comparison(differences, 0, 0, 0, 0, "there is no baseline", undefined, after.noun)
    joined = _join(before, after)
    noun = after.noun if before.noun == after.noun else "row"  # of two kinds of rows
    pairs = joined[joined["label_before"] == joined["label_after"]]
    reason = None
    if before.task_name != after.task_name:
        reason = f"the tasks differ: {before.task_name} before, {after.task_name} now"
    elif set(before.labels) != set(after.labels):
        reason = f"the classes differ: {_label_difference(before.labels, after.labels)}"
    elif after.task_name == "ordinal" and before.labels != after.labels:
        reason = f"the order differs: {listed(before.labels)} before, {listed(after.labels)} now"
    elif pairs.empty:
        reason = f"the two have no {noun} in common"
    differences = _check_floors(after, settings) if reason else _differences(before, after, pairs, settings)
    return Comparison(
        differences=differences,
        common=len(pairs),
        new=len(after.ids) - len(joined),
        lost=len(before.ids) - len(joined),
        relabelled=len(joined) - len(pairs),
        reason=reason,
        undefined=_undefined(differences, noun, is_compared=not reason),
        noun=noun,
    )


def _undefined(differences: Sequence[Difference], noun: str, *, is_compared: bool) -> str | None:
    """Tell which metrics these rows do not have, such as roc_auc of many classes; None if they have all.

    Args:
        is_compared: whether there was a baseline to compare with; if not, only the values of the workspace count.
    """
    names = [
        difference.metric
        for difference in differences
        if difference.verdict == "incomparable" and (is_compared or difference.after is None)
    ]
    return f"{listed(names)} {'is' if len(names) == 1 else 'are'} not defined for the {noun}s" if names else None


def _join(before: Predictions, after: Predictions) -> "pd.DataFrame":
    """Pair the rows of both by id, in the order of `after`: columns row and label of either, with its suffix."""
    import pandas as pd

    left, right = (
        pd.DataFrame({"id": part.ids, "label": part.truth, "row": np.arange(len(part.ids))}) for part in (after, before)
    )
    return left.merge(right, on="id", suffixes=("_after", "_before"), validate="one_to_one")


def _differences(
    before: Predictions, after: Predictions, pairs: "pd.DataFrame", settings: GateParams
) -> tuple[Difference, ...]:
    """Judge the difference of every metric on the rows in `pairs`."""
    truth, outputs_before = _select(before, pairs["row_before"], after)
    _, outputs_after = _select(after, pairs["row_after"], after)
    models = {"before": outputs_before, "after": outputs_after}
    values = {name: _headline(after.task, truth, outputs) for name, outputs in models.items()}
    ends: intervals.Intervals = {}
    if all(values.values()):
        ends = after.task.difference(
            truth,
            outputs_after,
            outputs_before,
            resamples=settings.bootstrap,
            seed=settings.seed,
            points=(values["after"], values["before"]),
            spread=max(before.spread, after.spread),
        )
    return tuple(
        _difference(name, values["before"].get(name), values["after"].get(name), ends.get(name), metric)
        for name, metric in settings.metrics.items()
    )


def _check_floors(after: Predictions, settings: GateParams) -> tuple[Difference, ...]:
    """Judge every metric of `after` by its floor alone."""
    values = _headline(after.task, *_select(after, np.arange(len(after.ids)), after))
    return tuple(
        Difference(
            metric=name,
            settings=metric,
            before=None,
            after=values.get(name),
            interval=None,
            verdict="incomparable" if values else "undefined",
            under_floor=_under_floor(values.get(name), metric),
        )
        for name, metric in settings.metrics.items()
    )


def _headline(task: Task, truth: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
    """Compute the metrics; none where `outputs` holds anything but probabilities, or numbers that are not finite."""
    if task.has_classes:
        P = task.probabilities(outputs)
        is_valid = ((P >= 0) & (P <= 1 + ROUNDING)).all()
    else:
        is_valid = np.isfinite(outputs).all()
    return task.headline(truth, outputs) if is_valid else {}


def _difference(
    name: str, before: float | None, after: float | None, interval: tuple[float, float] | None, metric: GateMetric
) -> Difference:
    verdict: Verdict = "incomparable"
    if before is not None and after is None:
        verdict = "undefined"
    elif before is not None and interval is not None:
        verdict = _verdict(interval, metric)
    return Difference(name, metric, before, after, interval, verdict, _under_floor(after, metric))


def _verdict(interval: tuple[float, float], metric: GateMetric) -> Verdict:
    low, high = interval if metric.higher_is_better else (-interval[1], -interval[0])
    if high < -metric.tolerance:
        return "worse"
    return "better" if low > metric.tolerance else "same"


def _under_floor(value: float | None, metric: GateMetric) -> bool:
    """Tell whether a metric is worse than its floor."""
    if metric.floor is None or value is None:
        return False
    return value < metric.floor if metric.higher_is_better else value > metric.floor


def _select(
    predictions: Predictions, rows: "np.ndarray | pd.Series[int]", like: Predictions
) -> tuple[np.ndarray, np.ndarray]:
    """Select targets and outputs of rows, with the labels in the order of those of `like`."""
    outputs = predictions.outputs[rows]
    if like.task.has_classes:
        outputs = outputs[:, [predictions.labels.index(label) for label in like.labels]]
    return like.task.targets(predictions.truth[rows]), outputs


def _label_difference(before: tuple[str, ...], after: tuple[str, ...]) -> str:
    parts = []
    for word, names in (("new", set(after) - set(before)), ("gone", set(before) - set(after))):
        if names:
            parts.append(f"{listed(sorted(names), 5)} {'is' if len(names) == 1 else 'are'} {word}")
    return "; ".join(parts)
