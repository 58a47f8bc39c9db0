"""Write metrics for people: their names and values."""

import math
from collections.abc import Mapping

from stages.common.metric_directions import IN_UNITS

NAMES = {"macro_f1": "macro F1", "micro_f1": "micro F1", "weighted_f1": "weighted F1", "roc_auc": "ROC AUC", "r2": "R²"}


def name(metric: str) -> str:
    """Write the name of a metric, such as `mean absolute error`."""
    return NAMES.get(metric, metric.replace("_", " "))


def value(number: float, metric: str, sign: str = "", *, digits: int = 3) -> str:
    """Write a value.

    Args:
        sign: `+` writes the sign of a positive value too.
        digits: decimals of a value of about 1; all digits of one in the unit of the labels, which may have any size.
    """
    if metric not in IN_UNITS:
        return f"{number:{sign}.{digits}f}"
    size = abs(number)
    if size and not 1e-4 <= size < 1e9:
        return f"{number:{sign}.{digits}g}"
    places = digits - 1 - math.floor(math.log10(size)) if size else digits
    return f"{number:{sign},.{max(places, 0)}f}"


def with_interval(number: float, ends: Mapping[str, float] | None, metric: str) -> str:
    """Write a value with its interval; `ends`: `low` and `high`, or None."""
    return value(number, metric) + (f" ({value(ends['low'], metric)} to {value(ends['high'], metric)})" if ends else "")
