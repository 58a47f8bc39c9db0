"""A row has a number."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
import pyarrow as pa

from stages.common.gate_params import GateName
from stages.scores import regression
from stages.scores.row_metrics import RowMetrics
from stages.tables import label_texts
from stages.tasks.resampled import Resampled


@dataclass(frozen=True)
class Regression(Resampled):
    """A row has a number.

    Everywhere, `T` is (rows,) numbers, and `outputs` is (rows, 1) the numbers that are predicted, both as the user
    gave them. Scores are (rows, 1) standardised: (number - mean) / scale. There are no classes, so nothing is right or
    wrong, and nothing has a probability.

    Attributes:
        primary: the metric that learning curves and verdicts are about.
        second: the metric that is told beside it.
        followed: the metrics that are noted after every epoch of training.
        mean, scale: mean and standard deviation of the training numbers. Only scores depend on them.
    """

    mean: float = 0.0
    scale: float = 1.0

    labels: ClassVar[tuple[str, ...]] = ()
    primary: ClassVar[GateName] = "mean_absolute_error"
    second: ClassVar[GateName] = "r2"
    followed: ClassVar[tuple[GateName, ...]] = ("mean_absolute_error", "root_mean_squared_error")
    has_classes: ClassVar[Literal[False]] = False
    is_exclusive: ClassVar[bool] = False

    @property
    def columns(self) -> int:
        """How many scores a row has."""
        return 1

    @classmethod
    def from_numbers(cls, T: np.ndarray) -> Self:
        """Make the task of a model with these training numbers, (rows,); equal ones get a scale of 1."""
        return cls(float(T.mean()), float(T.std()) if np.ptp(T) else 1.0)

    def targets(self, texts: Sequence[str] | np.ndarray) -> np.ndarray:
        """Read the numbers of rows as the tables write them: (rows,) float64.

        Raises:
            ValueError: a text is no number.
        """
        return np.array([label_texts.number(text) for text in texts], dtype=np.float64)

    def knows(self, texts: Sequence[str] | np.ndarray) -> np.ndarray:
        """Tell of which rows `targets` knows the numbers: of all."""
        return np.ones(len(texts), dtype=bool)

    def written(self, T: np.ndarray) -> np.ndarray:
        """Write numbers as the tables do: (rows,) str. The inverse of `targets`."""
        return np.array([label_texts.from_number(number) for number in T], dtype=object)

    def standardised(self, T: np.ndarray) -> np.ndarray:
        """Compute the scores that a perfect model gives: (rows, 1) float64."""
        return np.asarray((T - self.mean) / self.scale)[:, None]

    def outputs(self, scores: np.ndarray) -> np.ndarray:
        """Compute the outputs of scores, (rows, 1) float64."""
        return np.asarray(scores * self.scale + self.mean)

    def unknown(self, rows: int) -> np.ndarray:
        """Return the outputs of rows of which a model knows nothing: the mean of the training numbers."""
        return self.outputs(np.zeros((rows, 1)))

    def decisions(self, outputs: np.ndarray) -> np.ndarray:
        """Return the number that every row is given: (rows,)."""
        return outputs[:, 0]

    def texts(self, outputs: np.ndarray) -> np.ndarray:
        """Write the number that every row is given as the tables write them: (rows,) str."""
        return self.written(self.decisions(outputs))

    def predicted(self, outputs: np.ndarray) -> pa.Array:
        """Make the column of the numbers that rows are given."""
        return pa.array(self.decisions(outputs), pa.float64())

    def in_words(self, texts: Iterable[str]) -> list[str]:
        """Write the numbers of rows for a person; `texts`: as the tables write them."""
        return [*texts]

    def row_values(self, T: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return what the primary metric is the mean of: (rows,), how far numbers are off."""
        return np.asarray(np.abs(self.decisions(outputs) - T))

    def losses(self, T: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Compute the squared error of every row: (rows,)."""
        return np.asarray((self.decisions(outputs) - T) ** 2)

    def chance(self, T: np.ndarray) -> float:
        """Compute the primary metric of always guessing the median."""
        return float(np.abs(T - np.median(T)).mean())

    def calibration(self, scores: np.ndarray, T: np.ndarray, rule: str) -> "tuple[np.ndarray, Regression]":
        """Return a temperature of 1: numbers have none. Intervals around them are those of `heads.certainty`."""
        return np.asarray(1.0), self

    def headline(self, T: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
        """Compute the metrics that are reported first: `regression.headline`."""
        return regression.headline(T, self.decisions(outputs))

    def row_metrics(self, T: np.ndarray, outputs: np.ndarray) -> RowMetrics:
        """Give the headline metrics as functions of row weights: `regression.row_metrics`."""
        return regression.row_metrics(T, self.decisions(outputs))
