"""How many labels per class the backbone saves, read from the learning curves of backbone and baseline."""

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stages.common.metric_directions import is_higher_better
from stages.scores import metric_texts

if TYPE_CHECKING:
    from stages.evaluation.learning_curve import Curve

MIN_RATIO = 2  # of the labels that the baseline needs; less may be chance


def from_curves(curves: Mapping[str, "Curve"], metric: str = "accuracy") -> dict[str, Any]:
    """Compute the labels per class that the baseline needs to be as good as the backbone at its smallest point.

    Args:
        metric: the values of the curves. Numbers have no classes, and so their labels are all labels.

    Returns:
        The metric by its name, and the labels per class that `backbone` and `baseline` need for it: a number, or `more
        than N` where the baseline does not reach it; no `baseline` where there is none.
    """
    start = curves["backbone"].points[0]
    saved: dict[str, Any] = {metric: start.value, "backbone": start.per_class}
    if "baseline" in curves:
        needed = labels_needed(curves["baseline"], start.value, higher_is_better=is_higher_better(metric))
        most = curves["baseline"].points[-1].per_class
        saved["baseline"] = f"more than {most:.0f}" if needed is None else needed
    return saved


def sentence(saved: Mapping[str, Any], *, has_classes: bool = True) -> str:
    """Put the result of `from_curves` into words; empty where the baseline does not need far more."""
    needed, metric = saved.get("baseline", 0), next(iter(saved))
    if not isinstance(needed, str):
        if needed < MIN_RATIO * saved["backbone"]:
            return ""
        needed = f"{needed:.0f}"
    unit = "labels per class" if has_classes else "labels"
    value = metric_texts.value(saved[metric], metric)
    good = f"accurate ({value})" if metric == "accuracy" else f"good ({metric_texts.name(metric)} {value})"
    return f"with {saved['backbone']:.0f} {unit}, the pretrained model is as {good} as the baseline with {needed}"


def labels_needed(curve: "Curve", goal: float, *, higher_is_better: bool = True) -> float | None:
    """Read from the curve the labels per class at which it is as good as `goal`; None where it never is.

    Between two points, the metric is taken to change linearly with the logarithm of the labels.
    """
    sign = 1 if higher_is_better else -1
    first = curve.points[0]
    if sign * first.value >= sign * goal:
        return first.per_class
    for below, above in itertools.pairwise(curve.points):
        if sign * above.value >= sign * goal:
            share = (goal - below.value) / (above.value - below.value)
            return float(below.per_class * (above.per_class / below.per_class) ** share)
    return None
