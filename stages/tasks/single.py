"""A row has exactly one label."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import scipy

from stages.common.gate_params import GateName
from stages.scores import calibration, intervals, metrics
from stages.scores.intervals import Intervals

SURE_MARGIN = 0.5  # from which the second guess is not named


@dataclass(frozen=True)
class Single:
    """A row has one of these labels.

    Everywhere, `T` is (rows,) label indices, and `outputs` is (rows, labels) probabilities.

    Attributes:
        primary: the metric that learning curves and verdicts are about.
        second: the metric that is told beside it.
        followed: the metrics that are noted after every epoch of training.
    """

    labels: tuple[str, ...]

    primary: ClassVar[GateName] = "accuracy"
    second: ClassVar[GateName] = "macro_f1"
    followed: ClassVar[tuple[GateName, ...]] = ("accuracy", "log_loss")
    has_classes: ClassVar[Literal[True]] = True
    is_exclusive: ClassVar[bool] = True  # a label excludes the others, so that predictions make a confusion matrix

    @property
    def columns(self) -> int:
        """How many scores a row has."""
        return len(self.labels)

    def targets(self, texts: Sequence[str] | np.ndarray) -> np.ndarray:
        """Look up the labels of rows as the tables write them.

        Raises:
            KeyError: a label is unknown.
        """
        index = {label: number for number, label in enumerate(self.labels)}
        return np.array([index[text] for text in texts], dtype=np.int64)

    def knows(self, texts: Sequence[str] | np.ndarray) -> np.ndarray:
        """Tell of which rows `targets` knows the labels: (rows,) bool."""
        labels = set(self.labels)
        return np.array([text in labels for text in texts], dtype=bool)

    def written(self, T: np.ndarray) -> np.ndarray:
        """Write the labels of rows as the tables do: (rows,) str. The inverse of `targets`."""
        return np.asarray(np.asarray(self.labels, dtype=object)[T])

    def outputs(self, scores: np.ndarray) -> np.ndarray:
        """Compute the outputs of scores, (rows, labels) float64."""
        return np.asarray(scipy.special.softmax(scores, axis=1))

    def class_scores(self, scores: np.ndarray) -> np.ndarray:
        """Turn scores into those whose softmax are the probabilities: (rows, labels) float64."""
        return scores

    def from_probabilities(self, P: np.ndarray) -> np.ndarray:
        """Give the outputs of probabilities, which they are: (rows, labels)."""
        return P

    def unknown(self, rows: int) -> np.ndarray:
        """Return the outputs of rows of which a model knows nothing: no label has any probability."""
        return np.zeros((rows, len(self.labels)))

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Return the probability of every label: (rows, labels)."""
        return outputs

    def decisions(self, outputs: np.ndarray) -> np.ndarray:
        """Return the likeliest label of every row, of equally likely ones the first: (rows,) indices."""
        return np.asarray(outputs.argmax(axis=1))

    def texts(self, outputs: np.ndarray) -> np.ndarray:
        """Write the prediction of every row as the tables write labels: (rows,) str."""
        return self.written(self.decisions(outputs))

    def predicted(self, outputs: np.ndarray) -> pa.Array:
        """Make the column of the predictions."""
        return pa.array(self.texts(outputs), pa.string())

    def confidence(self, outputs: np.ndarray) -> np.ndarray:
        """Return the probability of the predicted label: (rows,)."""
        return np.asarray(outputs.max(axis=1))

    def margins(self, outputs: np.ndarray) -> np.ndarray:
        """Return how far the highest probability is above the second: (rows,), 0 to 1. There are two labels or more."""
        highest = np.partition(outputs, -2, axis=1)
        return np.asarray(highest[:, -1] - highest[:, -2])

    def guesses(self, outputs: np.ndarray) -> list[str]:
        """Write the likeliest label of rows with its probability, and the second unless the first is sure."""
        order = np.argsort(-outputs, axis=1, kind="stable")[:, :2]
        highest = np.take_along_axis(outputs, order, axis=1).astype(np.float32)
        texts = []
        for (first, second), (high, low) in zip(order, highest, strict=True):
            doubt = f" or {self.labels[second]} ({low:.2f})" if high - low < SURE_MARGIN else ""
            texts.append(f"{self.labels[first]} ({high:.2f}){doubt}")
        return texts

    def is_right(self, T: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Tell which rows get their label: (rows,) bool."""
        return np.asarray(self.decisions(outputs) == T)

    def row_values(self, T: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return what the primary metric is the mean of: (rows,), whether rows get their label."""
        return self.is_right(T, outputs)

    def losses(self, T: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Compute the log loss of every row: (rows,)."""
        return metrics.losses(T, outputs)

    def chance(self, T: np.ndarray) -> float:
        """Compute the primary metric of always guessing the most frequent label."""
        return float(self.support(T).max() / len(T))

    def shown(self, texts: Iterable[str]) -> tuple[str, ...]:
        """List what rows can be, for a person: the labels; `texts`: of rows and predictions, as tables have them."""
        return self.labels

    def in_words(self, texts: Iterable[str]) -> list[str]:
        """Write the labels of rows for a person; `texts`: as the tables write them."""
        return [*texts]

    def p_true(self, T: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return the probability of the true label: (rows,)."""
        return np.asarray(outputs[np.arange(len(T)), T])

    def corrected(self, text: str, label: int) -> str:
        """Write the labels of a row after a correction: the label that is suggested takes the place of `text`."""
        return self.labels[label]

    def support(self, T: np.ndarray) -> np.ndarray:
        """Count the rows of every label: (labels,)."""
        return np.bincount(T, minlength=len(self.labels))

    def confused(self, T: np.ndarray, outputs: np.ndarray) -> list[tuple[int, int, int]]:
        """Count the rows of every (actual, predicted) pair of labels that differ, the most frequent first."""
        return [cell for cell in self.cells(T, outputs) if cell[0] != cell[1]]

    def pairs(self, T: np.ndarray, outputs: np.ndarray) -> list[tuple[int, int]]:
        """List (actual, predicted) of every row."""
        return [*zip(T.tolist(), self.decisions(outputs).tolist(), strict=True)]

    def cells(self, T: np.ndarray, outputs: np.ndarray) -> list[tuple[int, int, int]]:
        """Count the rows of every cell (actual, predicted) of the confusion matrix that has any, the fullest first."""
        count = len(self.labels)
        cells, rows = np.unique(T * count + self.decisions(outputs), return_counts=True)
        order = np.argsort(-rows, kind="stable")
        return [(int(cells[k] // count), int(cells[k] % count), int(rows[k])) for k in order]

    def per_label(self, T: np.ndarray, outputs: np.ndarray) -> list[dict[str, Any]]:
        """Compute precision, recall, F1 and support of every label: `metrics.per_class`."""
        return [*metrics.per_class(T, self.decisions(outputs), self.labels)]

    def curves(self, T: np.ndarray, outputs: np.ndarray) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
        """Compute ROC points and precision-recall points: `metrics.curves`."""
        return metrics.curves(T, outputs)

    def reliability(self, T: np.ndarray, outputs: np.ndarray, spread: float = 1) -> list[dict[str, float]]:
        """Compute confidence and accuracy by bins of confidence: `metrics.bins`."""
        return metrics.bins(self.confidence(outputs), self.is_right(T, outputs), spread)

    def calibration_error(self, T: np.ndarray, outputs: np.ndarray) -> float:
        """Compute the expected calibration error: `metrics.calibration_error`."""
        return metrics.calibration_error(self.reliability(T, outputs))

    def uncalibrated(self, outputs: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """Return the outputs before scores were divided by `factors`, one for all labels."""
        return self.outputs(calibration.logits(outputs) * factors)

    def calibration(self, scores: np.ndarray, T: np.ndarray, rule: str) -> "tuple[np.ndarray, Single]":
        """Fit the temperature of a model to rows that it was not trained on; 1 if they are too few.

        Args:
            scores: (rows, labels), which the temperature divides.
            rule: for thresholds, of which there are none here.
        """
        is_enough = len(T) >= calibration.MIN_CALIBRATION_ROWS
        return np.asarray(calibration.fit_temperature(scores, T) if is_enough else 1.0), self

    def headline(self, T: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
        """Compute the metrics that are reported first: `metrics.headline`."""
        return metrics.headline(T, outputs)

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
        """Compute the 95 % interval of every headline metric; arguments as of `intervals.for_model`."""
        return intervals.for_model(T, outputs, resamples=resamples, seed=seed, point=point, spread=spread)

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
        """Compute the 95 % interval of the difference of every headline metric, as `intervals.for_difference`."""
        return intervals.for_difference(
            T,
            outputs,
            others,
            resamples=resamples,
            seed=seed,
            points=points,
            wins_losses=wins_losses,
            spread=spread,
        )
