"""What a bootstrap needs to know of the metrics of a model, whatever the task."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

Draws = dict[str, np.ndarray]


def _none(weights: np.ndarray) -> Draws:
    """Give no metric."""
    return {}


@dataclass(frozen=True)
class RowMetrics:
    """The metrics of one model as functions of row weights that sum to 1. NaN where a metric is undefined.

    Attributes:
        values: (rows, S) what the metrics average over rows.
        from_means: takes (samples, S) weighted means of `values`, returns (samples,) by metric.
        from_weights: takes (rows, samples) weights, returns (samples,) by metric: those that no means give.
        bounds: the lowest and the highest value of a metric; 0 and 1 where it is not listed.
        biased: metrics that are too high or too low on few rows.
        share: the metric that is the share of right rows; None where rows are more or less right, as numbers are.
        right: (rows,) bool of `share`.
        unseen: (2, S) the values of a wrong and of a right row, if there is none.
        width: how many arrays as large as the weights `from_weights` computes.
    """

    values: np.ndarray
    from_means: Callable[[np.ndarray], Draws]
    from_weights: Callable[[np.ndarray], Draws] = _none
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    biased: frozenset[str] = frozenset()
    share: str | None = None
    right: np.ndarray | None = None
    unseen: np.ndarray | None = None
    width: int = 1

    def headline(self) -> dict[str, float]:
        """Compute the metrics of all rows; undefined ones are left out."""
        rows = len(self.values)
        metrics = self.from_means(self.values.mean(axis=0)[None]) | self.from_weights(np.full((rows, 1), 1 / rows))
        return {name: float(value[0]) for name, value in metrics.items() if not np.isnan(value[0])}
