"""A row has exactly one label, and the labels have an order."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy

from stages.common.gate_params import GateName
from stages.scores import calibration, metrics, ordinal
from stages.scores.row_metrics import RowMetrics
from stages.tasks.resampled import Resampled
from stages.tasks.single import Single


@dataclass(frozen=True)
class Ordinal(Resampled, Single):
    """A row has one of these labels, which go from low to high.

    `T` and `outputs` are those of `Single`. Scores are (rows, labels - 1): the log odds that the label is above the
    first, the second, …, the last but one (McCullagh 1980, Regression Models for Ordinal Data).
    """

    primary: ClassVar[GateName] = "mean_absolute_error"
    second: ClassVar[GateName] = "quadratic_weighted_kappa"
    followed: ClassVar[tuple[GateName, ...]] = ("mean_absolute_error", "log_loss")

    @property
    def columns(self) -> int:
        """How many scores a row has."""
        return len(self.labels) - 1

    def above(self, T: np.ndarray) -> np.ndarray:
        """Tell of every label but the last whether the labels of rows are above it: (rows, labels - 1) bool."""
        return np.asarray(T[:, None] > np.arange(len(self.labels) - 1))

    def outputs(self, scores: np.ndarray) -> np.ndarray:
        """Compute the outputs of scores, (rows, labels - 1) float64.

        Scores that training left out of order count as the lowest up to them: a label above the second is above the
        first too.
        """
        above = np.minimum.accumulate(scipy.special.expit(scores), axis=1)
        ones, zeros = np.ones((len(scores), 1)), np.zeros((len(scores), 1))
        return np.asarray(np.hstack([ones, above]) - np.hstack([above, zeros]))

    def class_scores(self, scores: np.ndarray) -> np.ndarray:
        """Turn scores into those whose softmax are the probabilities: (rows, labels) float64."""
        return calibration.logits(self.outputs(scores))

    def decisions(self, outputs: np.ndarray) -> np.ndarray:
        """Return the label that every row is given, the median: (rows,) indices."""
        return ordinal.median_class(outputs)

    def confidence(self, outputs: np.ndarray) -> np.ndarray:
        """Return the probability of the predicted label, which need not be the likeliest: (rows,)."""
        return self.p_true(self.decisions(outputs), outputs)

    def row_values(self, T: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return what the primary metric is the mean of: (rows,), how many steps rows are off."""
        return np.asarray(np.abs(self.decisions(outputs) - T))

    def chance(self, T: np.ndarray) -> float:
        """Compute the primary metric of always guessing the median label."""
        return float(np.abs(T - np.median(T)).mean())

    def uncalibrated(self, outputs: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """Return the outputs before scores were divided by `factors`, one for all."""
        above = np.minimum(outputs[:, :0:-1].cumsum(axis=1)[:, ::-1], 1)
        return self.outputs(scipy.special.logit(above) * factors)

    def calibration(self, scores: np.ndarray, T: np.ndarray, rule: str) -> "tuple[np.ndarray, Ordinal]":
        """Fit the temperature of a model, as `Single.calibration` does; `scores`: (rows, labels - 1)."""
        if len(T) < calibration.MIN_CALIBRATION_ROWS:
            return np.asarray(1.0), self
        loss = lambda temperature: float(metrics.losses(T, self.outputs(scores / temperature)).mean())  # noqa: E731
        return np.asarray(calibration.best_temperature(loss)), self

    def headline(self, T: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
        """Compute the metrics that are reported first: `ordinal.headline`."""
        return ordinal.headline(T, outputs)

    def row_metrics(self, T: np.ndarray, outputs: np.ndarray) -> RowMetrics:
        """Give the headline metrics as functions of row weights: `ordinal.row_metrics`."""
        return ordinal.row_metrics(T, outputs)
