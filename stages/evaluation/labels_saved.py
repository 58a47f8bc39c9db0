"""How many labels per class the backbone saves, read from the learning curves of backbone and baseline."""

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stages.evaluation.learning_curve import Curve

MIN_RATIO = 2  # of the labels that the baseline needs; less may be chance


def from_curves(curves: Mapping[str, "Curve"]) -> dict[str, Any]:
    """Compute the labels per class that the baseline needs for the backbone's accuracy at its smallest point.

    Returns:
        `accuracy`, and the labels per class that `backbone` and `baseline` need for it: a number, or `more than N`
        where the baseline does not reach it; no `baseline` where there is none.
    """
    start = curves["backbone"].points[0]
    saved: dict[str, Any] = {"accuracy": start.accuracy, "backbone": start.per_class}
    if "baseline" in curves:
        needed = labels_needed(curves["baseline"], start.accuracy)
        most = curves["baseline"].points[-1].per_class
        saved["baseline"] = f"more than {most:.0f}" if needed is None else needed
    return saved


def sentence(saved: Mapping[str, Any]) -> str:
    """Put the result of `from_curves` into words; empty where the baseline does not need far more."""
    needed = saved.get("baseline", 0)
    if not isinstance(needed, str):
        if needed < MIN_RATIO * saved["backbone"]:
            return ""
        needed = f"{needed:.0f}"
    return (
        f"with {saved['backbone']:.0f} labels per class, the pretrained model is as accurate ({saved['accuracy']:.3f})"
        f" as the baseline with {needed}"
    )


def labels_needed(curve: "Curve", accuracy: float) -> float | None:
    """Read from the curve the labels per class at which it reaches `accuracy`; None where it never does.

    Between two points, accuracy is taken to grow linearly with the logarithm of the labels.
    """
    first = curve.points[0]
    if first.accuracy >= accuracy:
        return first.per_class
    for below, above in itertools.pairwise(curve.points):
        if above.accuracy >= accuracy:
            share = (accuracy - below.accuracy) / (above.accuracy - below.accuracy)
            return float(below.per_class * (above.per_class / below.per_class) ** share)
    return None
