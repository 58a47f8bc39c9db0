"""A fitted classifier with its labels and its temperature."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from stages.heads import estimators
from stages.scores import calibration
from stages.tables.features import Matrix
from stages.tasks.single import Single


@dataclass(frozen=True)
class Head:
    """A fitted scikit-learn classifier. `labels` are in the order of its scores."""

    estimator: Any
    labels: tuple[str, ...]
    temperature: float = 1.0

    @property
    def task(self) -> Single:
        """What its scores mean."""
        return Single(self.labels)

    def scores(self, X: Matrix) -> np.ndarray:
        """Compute the calibrated scores, divided by the temperature: (rows, labels) float64. `X`: (rows, dim)."""
        with threadpool_limits(1):
            return estimators.scores(self.estimator, X) / self.temperature

    def outputs(self, X: Matrix) -> np.ndarray:
        """Compute the outputs of the task, the probabilities: (rows, labels) float64. `X`: (rows, dim)."""
        return self.probabilities(X)

    def probabilities(self, X: Matrix) -> np.ndarray:
        """Compute the probabilities by the calibrated scores: (rows, labels) float64. `X`: (rows, dim)."""
        return self.task.outputs(self.scores(X))

    def calibration_scores(self, X: Matrix) -> np.ndarray:
        """Compute what a further temperature divides: log probabilities, (rows, labels). `X`: (rows, dim)."""
        return calibration.logits(self.probabilities(X))

    def layer(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Give weight (labels, dim) and bias (labels,) of the linear layer that computes the scores.

        The temperature is part of them. None where the head is not linear (knn, mlp).
        """
        if not hasattr(self.estimator, "coef_"):
            return None
        weight = np.atleast_2d(np.asarray(self.estimator.coef_, dtype=np.float64)) / self.temperature
        bias = np.broadcast_to(self.estimator.intercept_, len(weight)) / self.temperature
        if len(self.labels) == 2:
            weight, bias = np.vstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        return weight, bias
