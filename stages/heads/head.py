"""A fitted classifier with its labels and its temperature."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from stages.heads import estimators
from stages.tables.features import Matrix


@dataclass(frozen=True)
class Head:
    """A fitted scikit-learn classifier. `labels` are in the order of its scores."""

    estimator: Any
    labels: tuple[str, ...]
    temperature: float = 1.0

    def scores(self, X: Matrix) -> np.ndarray:
        """Compute the calibrated scores, divided by the temperature: (rows, labels) float64. `X`: (rows, dim)."""
        with threadpool_limits(1):
            return estimators.scores(self.estimator, X) / self.temperature

    def probabilities(self, X: Matrix) -> np.ndarray:
        """Compute the softmax of the calibrated scores: (rows, labels) float64. `X`: (rows, dim)."""
        return np.asarray(softmax(self.scores(X), axis=1))
