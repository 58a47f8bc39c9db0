"""A row has any number of labels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import scipy

from stages.common.errors import listed
from stages.common.gate_params import GateName
from stages.scores import calibration, metrics, multilabel, thresholds
from stages.scores.row_metrics import RowMetrics
from stages.tables import label_texts
from stages.tasks.resampled import Resampled

MIN_POSSIBLE = 0.25  # probability from which a guess names a label that is not given
MAX_GUESSES = 5  # labels that a guess names
# Thresholds of a model that is calibrated: those of the best F1 for labels with enough rows; its own, as numbers; those
# that give the same labels as its own did before.
ThresholdRule: TypeAlias = Literal["best_f1", "own", "same_labels"]
ALWAYS, NEVER = float(np.finfo(np.float64).tiny), np.inf  # thresholds; a probability of 0 gives no label


@dataclass(frozen=True)
class Multilabel(Resampled):
    """A row has any of these labels.

    Everywhere, `T` is (rows, labels) bool, and `outputs` is (rows, labels, 2): the probability of a label, and the
    threshold of the model that gave it, from which on the label is given. Heads of folds have thresholds of their own.

    Attributes:
        primary: the metric that learning curves and verdicts are about.
        second: the metric that is told beside it.
        followed: the metrics that are noted after every epoch of training.
        thresholds: (labels,) of a model.
        exclusive: sets of labels of which every row has exactly one. Their probabilities are a softmax, and the
            likeliest is given, whatever its threshold.
    """

    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    exclusive: tuple[tuple[str, ...], ...] = ()

    primary: ClassVar[GateName] = "accuracy"
    second: ClassVar[GateName] = "macro_f1"
    followed: ClassVar[tuple[GateName, ...]] = ("accuracy", "log_loss")
    has_classes: ClassVar[Literal[True]] = True
    is_exclusive: ClassVar[bool] = False

    @property
    def columns(self) -> int:
        """How many scores a row has."""
        return len(self.labels)

    def targets(self, texts: Sequence[str] | np.ndarray) -> np.ndarray:
        """Tell which labels rows have, as the tables write them; unknown labels count for nothing."""
        return label_texts.indicators(texts, self.labels)

    def knows(self, texts: Sequence[str] | np.ndarray) -> np.ndarray:
        """Tell of which rows `targets` knows the labels: of all."""
        return np.ones(len(texts), dtype=bool)

    def written(self, T: np.ndarray) -> np.ndarray:
        """Write the labels of rows as the tables do: (rows,) str. The inverse of `targets`, of known labels."""
        return np.array([label_texts.from_names(names) for names in self._names(T)], dtype=object)

    def outputs(self, scores: np.ndarray) -> np.ndarray:
        """Compute the outputs of scores, (rows, labels) float64: log odds, or in a set logits."""
        P = scipy.special.expit(scores)
        for labels in self.exclusive_indices():
            P[:, labels] = scipy.special.softmax(scores[:, labels], axis=1)
        return self.from_probabilities(P)

    def from_probabilities(self, P: np.ndarray) -> np.ndarray:
        """Give the outputs of probabilities, (rows, labels)."""
        limits = np.tile(self.thresholds, (len(P), 1))
        for labels in self.exclusive_indices():
            # Thresholds that give one label, also where probabilities are equal.
            limits[:, labels] = NEVER
            limits[np.arange(len(P)), np.array(labels)[P[:, labels].argmax(axis=1)]] = ALWAYS
        return np.stack([P, limits], axis=2)

    def exclusive_indices(self) -> list[list[int]]:
        """List the labels of every set of `exclusive` as indices."""
        return [[self.labels.index(name) for name in names] for names in self.exclusive]

    def unknown(self, rows: int) -> np.ndarray:
        """Return the outputs of rows of which a model knows nothing: no label has any probability."""
        return self.outputs(np.full((rows, len(self.labels)), -np.inf))

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Return the probability of every label: (rows, labels)."""
        return outputs[..., 0]

    def decisions(self, outputs: np.ndarray) -> np.ndarray:
        """Tell which labels rows are given: (rows, labels) bool."""
        return np.asarray(outputs[..., 1] <= outputs[..., 0])

    def texts(self, outputs: np.ndarray) -> np.ndarray:
        """Write the labels that every row is given as the tables write them: (rows,) str."""
        return self.written(self.decisions(outputs))

    def predicted(self, outputs: np.ndarray) -> pa.Array:
        """Make the column of the lists of labels that rows are given."""
        return pa.array(self._names(self.decisions(outputs)), pa.list_(pa.string()))

    def confidence(self, outputs: np.ndarray) -> np.ndarray:
        """Return the lowest probability of any decision, to give a label or not to: (rows,)."""
        P = outputs[..., 0]
        return np.asarray(np.where(self.decisions(outputs), P, 1 - P).min(axis=1))

    def margins(self, outputs: np.ndarray) -> np.ndarray:
        """Return how sure all labels are together: (rows,), 1 minus their mean entropy in bits, 0 to 1."""
        P = outputs[..., 0]
        entr = scipy.special.entr
        return np.asarray(1 - (entr(P) + entr(1 - P)).mean(axis=1) / np.log(2))

    def guesses(self, outputs: np.ndarray) -> list[str]:
        """Write the labels that rows are given with their probabilities, and those that may apply, too."""
        texts = []
        for P, given in zip(outputs[..., 0], self.decisions(outputs), strict=True):
            order = np.argsort(-P, kind="stable")
            sure, possible = (
                listed((f"{self.labels[label]} ({P[label]:.2f})" for label in order if chosen[label]), MAX_GUESSES)
                for chosen in (given, ~given & (P >= MIN_POSSIBLE))
            )
            texts.append((sure or "no label") + (f", maybe {possible}" if possible else ""))
        return texts

    def is_right(self, T: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Tell which rows get all of their labels and no other: (rows,) bool."""
        return multilabel.all_right(T, self.decisions(outputs))

    def row_values(self, T: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return what the primary metric is the mean of: (rows,), whether rows get all of their labels and no other."""
        return self.is_right(T, outputs)

    def losses(self, T: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Compute the log loss of every row, the mean over its labels: (rows,)."""
        return multilabel.losses(T, outputs[..., 0])

    def chance(self, T: np.ndarray) -> float:
        """Compute the primary metric of always guessing the most frequent set of labels."""
        return float(np.unique(T, axis=0, return_counts=True)[1].max() / len(T))

    def shown(self, texts: Iterable[str]) -> tuple[str, ...]:
        """List what rows can be, for a person: the sets of labels in `texts`, of rows and predictions."""
        return tuple(sorted(set(texts)))

    def in_words(self, texts: Iterable[str]) -> list[str]:
        """Write the labels of rows for a person; `texts`: as the tables write them."""
        return [", ".join(label_texts.names(text)) or "no label" for text in texts]

    def p_true(self, T: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return the lowest probability of any true decision, that a label applies or does not: (rows,)."""
        return np.asarray(np.where(T, outputs[..., 0], 1 - outputs[..., 0]).min(axis=1))

    def corrected(self, text: str, label: int) -> str:
        """Write the labels of a row, `text`, after a correction: one is added, or taken away if the row has it.

        One of labels that exclude each other takes the place of another.
        """
        names, corrected = {*label_texts.names(text)}, self.labels[label]
        if excluded := next((labels for labels in self.exclusive if corrected in labels), None):
            return label_texts.from_names(names.difference(excluded) | {corrected})
        return label_texts.from_names(names ^ {corrected})

    def support(self, T: np.ndarray) -> np.ndarray:
        """Count the rows of every label: (labels,)."""
        return np.asarray(T.sum(axis=0))

    def confused(self, T: np.ndarray, outputs: np.ndarray) -> list[tuple[int, int, int]]:
        """Count the rows of every pair of a label that is missed and one that is wrongly given."""
        return multilabel.confused(T, self.decisions(outputs))

    def pairs(self, T: np.ndarray, outputs: np.ndarray) -> list[tuple[int, int]]:
        """List the cells of `cells` as often as they have rows."""
        return [(actual, predicted) for actual, predicted, rows in self.cells(T, outputs) for _ in range(rows)]

    def cells(self, T: np.ndarray, outputs: np.ndarray) -> list[tuple[int, int, int]]:
        """Count the rows in which a label is right, as (label, label), and those of `confused`."""
        right = (T & self.decisions(outputs)).sum(axis=0)
        return [(k, k, int(rows)) for k, rows in enumerate(right) if rows] + self.confused(T, outputs)

    def per_label(self, T: np.ndarray, outputs: np.ndarray) -> list[dict[str, Any]]:
        """Compute precision, recall, F1, average precision and support of every label: `multilabel.per_label`."""
        return [*multilabel.per_label(T, outputs[..., 0], self.decisions(outputs), self.labels)]

    def curves(self, T: np.ndarray, outputs: np.ndarray) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
        """Compute ROC points and precision-recall points; every (row, label) pair is one decision."""
        P = outputs[..., 0].ravel()
        return metrics.curves(T.ravel().astype(int), np.stack([1 - P, P], axis=1))

    def reliability(self, T: np.ndarray, outputs: np.ndarray, spread: float = 1) -> list[dict[str, float]]:
        """Compute confidence and accuracy by bins of confidence: `multilabel.reliability`."""
        return multilabel.reliability(T, outputs[..., 0], spread)

    def calibration_error(self, T: np.ndarray, outputs: np.ndarray) -> float:
        """Compute the expected calibration error of all decisions: `metrics.calibration_error`."""
        return metrics.calibration_error(self.reliability(T, outputs))

    def uncalibrated(self, outputs: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """Return the outputs before scores were divided by `factors`, (labels,)."""
        scores = scipy.special.logit(outputs[..., 0])
        for labels in self.exclusive_indices():
            scores[:, labels] = calibration.logits(outputs[:, labels, 0])
        return self.outputs(scores * factors)

    def calibrated(self, temperatures: np.ndarray) -> "Multilabel":
        """Return thresholds that give the same labels where scores are divided by temperatures, (labels,)."""
        return replace(
            self, thresholds=tuple(scipy.special.expit(scipy.special.logit(self.thresholds) / temperatures).tolist())
        )

    def calibration(self, scores: np.ndarray, T: np.ndarray, rule: ThresholdRule) -> "tuple[np.ndarray, Multilabel]":
        """Fit the temperatures of a model, (labels,), and its thresholds, to rows that it was not trained on.

        Args:
            scores: (rows, labels), which the temperatures divide.
        """
        temperatures = calibration.fit_temperatures(scores, T)
        for labels in self.exclusive_indices():
            has_one = T[:, labels].sum(axis=1) == 1
            is_enough_rows = has_one.sum() >= calibration.MIN_CALIBRATION_ROWS
            y = T[has_one][:, labels].argmax(axis=1)
            temperatures[labels] = calibration.fit_temperature(scores[has_one][:, labels], y) if is_enough_rows else 1.0
        if rule == "own":
            return temperatures, self
        task = self.calibrated(temperatures)
        if rule == "best_f1":
            best = thresholds.choose(scipy.special.expit(scores / temperatures), T)
            is_enough = T.sum(axis=0) >= calibration.MIN_LABEL_ROWS
            task = replace(self, thresholds=tuple(np.where(is_enough, best, task.thresholds).tolist()))
        return temperatures, task

    def headline(self, T: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
        """Compute the metrics that are reported first: `multilabel.headline`."""
        return multilabel.headline(T, outputs[..., 0], self.decisions(outputs))

    def row_metrics(self, T: np.ndarray, outputs: np.ndarray) -> RowMetrics:
        """Give the headline metrics as functions of row weights: `multilabel.row_metrics`."""
        return multilabel.row_metrics(T, outputs[..., 0], self.decisions(outputs))

    def _names(self, T: np.ndarray) -> list[list[str]]:
        return [[label for label, applies in zip(self.labels, row, strict=True) if applies] for row in T]
