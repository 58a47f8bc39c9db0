"""95 % intervals of the metrics of any task, and of their differences between two models, by resampled rows.

`spread` is how many times the variance is that of test rows, as in intervals.py, which has the intervals of single
labels. The share of right rows gets the intervals of `proportions`.
`python -m tests.benchmarks.row_intervals` simulates how often they hold the truth.
"""

import math
from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import scipy

from stages.scores import proportions
from stages.scores.resampling import draws
from stages.scores.row_metrics import Draws, RowMetrics

Number = TypeVar("Number", float, np.ndarray)

Intervals = dict[str, tuple[float, float]]


def for_model(
    model: RowMetrics, *, resamples: int, seed: int, point: Mapping[str, float] | None = None, spread: float = 1
) -> Intervals:
    """Compute the interval of every headline metric; none if `resamples` is 0.

    Args:
        point: the headline metrics, where they are known already: of the model, or means over several like it.
    """
    if not resamples:
        return {}
    own, rows = model.headline(), len(model.values)
    point = point or own
    (drawn,) = draws([model], resamples=resamples, generator=np.random.default_rng(seed))
    ends = _ends(model, drawn, own, point, spread)
    for name, (low, high) in ends.items():
        lowest, highest = model.bounds.get(name, (0.0, 1.0))
        ends[name] = (max(low, lowest), min(high, highest))
    if model.share is not None and model.share in point:
        ends[model.share] = proportions.spread_interval(point[model.share] * rows, rows, spread)
    return ends


def for_difference(
    first: RowMetrics,
    second: RowMetrics,
    *,
    resamples: int,
    seed: int,
    points: tuple[Mapping[str, float], Mapping[str, float]] | None = None,
    wins_losses: tuple[float, float] | None = None,
    spread: float = 1,
) -> Intervals:
    """Compute the interval of the difference of every headline metric of both, first - second, on the same rows.

    None if `resamples` is 0. Rows that are hard for both models cancel out. For the share of right rows the interval
    excludes zero exactly if the p-value of `proportions.mcnemar` is below 0.05.

    Args:
        points: the headline metrics of both, where they are known already; as `point` of `for_model`.
        wins_losses: the rows that only the first gets right, and only the second, where they are known already, divided
            by `spread`.
    """
    if not resamples:
        return {}
    rows = len(first.values)
    own = _differences(first.headline(), second.headline())
    point = _differences(*points) if points else own
    drawn, others = draws([first, second], resamples=resamples, generator=np.random.default_rng(seed))
    ends = _ends(first, _differences(drawn, others), own, point, spread)
    for name, (low, high) in ends.items():
        lowest, highest = first.bounds.get(name, (0.0, 1.0))
        ends[name] = (max(low, lowest - highest), min(high, highest - lowest))
    if first.share in point and first.share is not None and first.right is not None and second.right is not None:
        wins, losses = wins_losses or (n / spread for n in proportions.wins_and_losses(first.right, second.right))
        ends[first.share] = proportions.difference_interval(wins, losses, rows / spread)
    return ends


def levels(rows: int) -> tuple[float, float]:
    """Return the percentiles that make a bootstrap interval of a mean as wide as one of Student's t.

    They lie further out than 2.5 and 97.5 %, since resamples of few rows spread too little (Hesterberg 2015, What
    Teachers Should Know about the Bootstrap, section 5.3).
    """
    if rows == 1:
        return 0.0, 1.0
    low = float(scipy.special.ndtr(math.sqrt(rows / (rows - 1)) * scipy.special.stdtrit(rows - 1, 0.025)))
    return low, 1 - low


def _ends(
    model: RowMetrics, drawn: Draws, own: Mapping[str, float], point: Mapping[str, float], spread: float
) -> Intervals:
    """Take the middle of the draws, with the metric itself, and move it from `own` to `point`.

    Resamples have about the bias that rows have, once more. The interval of a biased metric also holds the draws
    without the bias: moved by twice the distance of their mean from `own`.
    """
    rows, ends = len(model.values), dict[str, tuple[float, float]]()
    for name in own.keys() & point.keys() & drawn.keys():
        values = drawn[name][~np.isnan(drawn[name])]
        low, high = np.quantile(values, levels(rows)) if len(values) else (own[name], own[name])
        if name in model.biased and len(values):
            moved = 2 * (own[name] - values.mean())
            low, high = min(low, low + moved), max(high, high + moved)
        out = [math.sqrt(spread) * (end - own[name]) for end in (min(low, own[name]), max(high, own[name]))]
        ends[name] = (float(point[name] + out[0]), float(point[name] + out[1]))
    return {name: ends[name] for name in point if name in ends}


def _differences(first: Mapping[str, Number], second: Mapping[str, Number]) -> dict[str, Number]:
    return {name: first[name] - second[name] for name in first if name in second}
