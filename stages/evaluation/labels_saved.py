"""How many labels per class the backbone saves, by the learning curves of backbone and baseline."""

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stages.evaluation.learning_curve import Curve


def labels_saved(curves: Mapping[str, "Curve"]) -> dict[str, Any]:
    """How many labels per class the baseline needs for the accuracy of the backbone at its smallest point.

    Returns:
        `accuracy`, and the labels per class of `backbone` and of `baseline`: a number, or `more than` all there are.
    """
    start = curves["backbone"].points[0]
    saved: dict[str, Any] = {"accuracy": start.accuracy, "backbone": start.per_class}
    if "baseline" in curves:
        needed = labels_needed(curves["baseline"], start.accuracy)
        most = curves["baseline"].points[-1].per_class
        saved["baseline"] = f"more than {most:.0f}" if needed is None else needed
    return saved


def sentence(saved: Mapping[str, Any]) -> str:
    """What `labels_saved` gave, in words; empty where there is no baseline."""
    if "baseline" not in saved:
        return ""
    needed = saved["baseline"] if isinstance(saved["baseline"], str) else f"{saved['baseline']:.0f}"
    return (
        f"accuracy {saved['accuracy']:.3f} takes {saved['backbone']:.0f} labels per class with the backbone,"
        f" {needed} without"
    )


def labels_needed(curve: "Curve", accuracy: float) -> float | None:
    """Labels per class at which the curve reaches `accuracy`: between points, straight over the logarithm of labels.

    None where it never does.
    """
    first = curve.points[0]
    if first.accuracy >= accuracy:
        return first.per_class
    for below, above in itertools.pairwise(curve.points):
        if above.accuracy >= accuracy:
            share = (accuracy - below.accuracy) / (above.accuracy - below.accuracy)
            return float(below.per_class * (above.per_class / below.per_class) ** share)
    return None
