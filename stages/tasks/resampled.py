"""What tasks have in common whose metrics are functions of row weights."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from stages.scores import bootstrap
from stages.scores.bootstrap import Intervals
from stages.scores.row_metrics import RowMetrics


class Resampled(ABC):
    """A task whose metrics get their intervals from resampled rows."""

    @abstractmethod
    def row_metrics(self, T: np.ndarray, outputs: np.ndarray) -> RowMetrics:
        """Give the headline metrics as functions of row weights."""

    def intervals(
        self,
        T: np.ndarray,
        outputs: np.ndarray,
        *,
        resamples: int,
        seed: int,
        point: Mapping[str, float] | None = None,
        spread: float = 1,
    ) -> Intervals:
        """Compute the 95 % interval of every headline metric; arguments as of `bootstrap.for_model`."""
        model = self.row_metrics(T, outputs)
        return bootstrap.for_model(model, resamples=resamples, seed=seed, point=point, spread=spread)

    def difference(
        self,
        T: np.ndarray,
        outputs: np.ndarray,
        others: np.ndarray,
        *,
        resamples: int,
        seed: int,
        points: tuple[Mapping[str, float], Mapping[str, float]] | None = None,
        wins_losses: tuple[float, float] | None = None,
        spread: float = 1,
    ) -> Intervals:
        """Compute the 95 % interval of the difference of every headline metric, as `bootstrap.for_difference`."""
        return bootstrap.for_difference(
            self.row_metrics(T, outputs),
            self.row_metrics(T, others),
            resamples=resamples,
            seed=seed,
            points=points,
            wins_losses=wins_losses,
            spread=spread,
        )
