"""How sure a model can be of new rows: by held-out rows, and by the training rows that it knows."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, Self

import numpy as np
import scipy
from threadpoolctl import threadpool_limits

from stages.common.errors import HeadstartError, counted
from stages.common.predict_params import PredictParams
from stages.scores import conformal, conformal_interval, familiarity, nearest_rows, selective
from stages.tables.features import Matrix
from stages.tasks import ClassTask, Task
from stages.tasks.regression import Regression

MAX_HELD_OUT_ROWS = 20_000
MAX_KNOWN_ROWS = 10_000  # training rows of which vectors are kept; of 5,000, unfamiliar rows are told apart less well
MAX_KNOWN_VALUES = 2**22  # numbers in these vectors: 8 MB
Source = Literal["validation", "out-of-fold"]


class HeldOut(NamedTuple):
    """What the model said of rows that it was not fitted on.

    Attributes:
        confidence: (rows,) float32 probability of the predicted label.
        is_right: (rows,) bool.
        p_true: (rows,) float32 probability of the true label.
        source: validation rows, or training rows that heads like the model predicted out of fold.
        unknown: (unknown rows,) float32 probability of the predicted label of rows of the class `prepare.unknown`, of
            which no label is right, as many as come with these rows; None without such a class.
    """

    confidence: np.ndarray
    is_right: np.ndarray
    p_true: np.ndarray
    source: Source
    unknown: np.ndarray | None = None

    @classmethod
    def from_outputs(
        cls, task: ClassTask, T: np.ndarray, outputs: np.ndarray, source: Source, unknown: np.ndarray | None = None
    ) -> Self:
        """Keep what thresholds need of the outputs for rows, and of their true labels, `T`.

        Args:
            unknown: outputs for unknown rows.
        """
        rows = sample(len(T), MAX_HELD_OUT_ROWS)
        if unknown is not None:  # the same share of both
            others = sample(len(unknown), round(len(unknown) * len(rows) / max(len(T), 1)))
            unknown = task.confidence(unknown[others]).astype(np.float32)
        T, outputs = T[rows], outputs[rows]
        confidence, p_true = (part.astype(np.float32) for part in (task.confidence(outputs), task.p_true(T, outputs)))
        return cls(confidence, task.is_right(T, outputs), p_true, source, unknown)

    def limits(self, settings: PredictParams) -> "Limits":
        """Find the limits that meet the settings on these rows: an unknown row that is accepted counts as wrong."""
        confidence, is_right = self.confidence, self.is_right
        if self.unknown is not None:
            confidence = np.concatenate([confidence, self.unknown])
            is_right = np.concatenate([is_right, np.zeros(len(self.unknown), dtype=bool)])
        return Limits(
            selective.threshold(confidence, is_right, settings.target_accuracy),
            conformal.limit(self.p_true, settings.coverage),
        )

    def in_words(self, settings: PredictParams) -> str:
        """Say from where rows are accepted, and how many held-out rows that are."""
        rows, confidence = _rows(len(self.confidence), self.source), self.limits(settings).confidence
        others = "" if self.unknown is None else f" and {counted(len(self.unknown), 'unknown one')}"
        accuracy = f"predict.target_accuracy {settings.target_accuracy:g}"
        if math.isinf(confidence):
            return (
                f"no row is accepted, as no confidence meets {accuracy} on {rows}{others}; label more rows, or lower it"
            )
        share = (self.confidence >= confidence).mean()
        if self.unknown is not None:
            others = f", {int((self.unknown >= confidence).sum()):,} of {counted(len(self.unknown), 'unknown one')}"
        return (
            f"rows are accepted from a confidence of {confidence:.3f}, which meets {accuracy}: {share:.0%} of {rows}"
            f"{others}"
        )


class Limits(NamedTuple):
    """Limits of probabilities.

    Attributes:
        confidence: from which a row is accepted; infinite where no confidence meets the target.
        probability: from which a label is in a row's set.
    """

    confidence: float
    probability: float

    def verdicts(self, task: Task, outputs: np.ndarray, unfamiliar: np.ndarray | None = None) -> "Verdicts":
        """Judge rows by the outputs for them, probabilities; `unfamiliar`: as in `Verdicts`."""
        assert task.has_classes
        P = task.probabilities(outputs).astype(np.float32)
        accepted = task.confidence(outputs).astype(np.float32) >= self.confidence
        return Verdicts(accepted, conformal.members(P, self.probability), unfamiliar)


class HeldOutNumbers(NamedTuple):
    """What the model said of rows with numbers that it was not fitted on.

    Attributes:
        errors: (rows,) float64, ascending: how far predictions are off.
        source: as in `HeldOut`.
    """

    errors: np.ndarray
    source: Source

    @classmethod
    def from_outputs(cls, task: Regression, T: np.ndarray, outputs: np.ndarray, source: Source) -> Self:
        """Keep what intervals need of the outputs for rows, and of their true numbers, `T`."""
        rows = sample(len(T), MAX_HELD_OUT_ROWS)
        return cls(np.sort(np.abs(T - task.decisions(outputs))[rows]), source)

    def limits(self, settings: PredictParams) -> "NumberLimits":
        """Find the intervals that meet the settings on these rows."""
        return NumberLimits(conformal_interval.half_width(self.errors, settings.coverage))

    def in_words(self, settings: PredictParams) -> str:
        """Say how wide intervals are, and by how many held-out rows."""
        half_width, coverage = self.limits(settings).half_width, f"predict.coverage {settings.coverage:g}"
        rows = _rows(len(self.errors), self.source)
        if math.isinf(half_width):
            needed = conformal_interval.rows_needed(settings.coverage)
            return f"there are no intervals, as {coverage} needs {needed} rows, but there are {rows}; label more rows"
        return f"intervals reach {half_width:.4g} to both sides, which meets {coverage} on {rows}"


class NumberLimits(NamedTuple):
    """How far an interval reaches to both sides of a predicted number; infinite where held-out rows are too few."""

    half_width: float

    def verdicts(self, task: Task, outputs: np.ndarray, unfamiliar: np.ndarray | None = None) -> "Verdicts":
        """Judge rows by the outputs for them, numbers; `unfamiliar`: as in `Verdicts`."""
        return Verdicts(unfamiliar=unfamiliar, intervals=outputs + np.array([-self.half_width, self.half_width]))


class Verdicts(NamedTuple):
    """How sure the model is of rows. An attribute is None where the model's folder lacks the rows for it.

    Attributes:
        accepted: (rows,) bool.
        sets: (rows, labels) bool: the labels of the prediction set.
        unfamiliar: (rows,) percentiles, from 0 to 100.
        intervals: (rows, 2) of numbers: from where to where; infinite where held-out rows are too few.
    """

    accepted: np.ndarray | None = None
    sets: np.ndarray | None = None
    unfamiliar: np.ndarray | None = None
    intervals: np.ndarray | None = None


@dataclass(frozen=True)
class Known:
    """Training rows: `X`, (rows, dim) rounded vectors, and their `distances` to each other, (rows,) ascending."""

    X: Matrix
    distances: np.ndarray

    @cached_property
    def _unit(self) -> Matrix:
        unit: Matrix = nearest_rows.unit(self.X)
        return unit

    def unfamiliar(self, X: Matrix) -> np.ndarray:
        """Tell how unlike these rows others are: (rows,) percentiles from 0 to 100; `X`: (rows, dim).

        Raises:
            HeadstartError: the rows have vectors of another length.
        """
        if X.shape[1] != self.X.shape[1]:
            raise HeadstartError(
                f"the model's vectors have {X.shape[1]:,} dimensions, but those of its training rows in"
                f" certainty.safetensors {self.X.shape[1]:,}, so that is of another model; run `dvc repro`"
            )
        distances = familiarity.distances(self._unit, X, is_unit=True)
        return familiarity.percentiles(self.distances, distances)


@dataclass(frozen=True)
class Certainty:
    """How sure a model can be of new rows: by rows that it was not fitted on, and by those that it knows.

    Either is None where there are too few rows for it.
    """

    held_out: HeldOut | HeldOutNumbers | None = None
    known: Known | None = None

    def verdicts(
        self, task: Task, outputs: np.ndarray, unfamiliar: np.ndarray | None, settings: PredictParams
    ) -> Verdicts:
        """Judge rows by the outputs of the model's task for them; `unfamiliar`: as in `Verdicts`."""
        limits = self.limits(task, settings)
        return limits.verdicts(task, outputs, unfamiliar) if limits else Verdicts(unfamiliar=unfamiliar)

    def limits(self, task: Task, settings: PredictParams) -> Limits | NumberLimits | None:
        """Find the limits that meet the settings; without held-out rows there are none, and intervals without ends."""
        if self.held_out:
            return self.held_out.limits(settings)
        return None if task.has_classes else NumberLimits(math.inf)


def judged(
    task: Task, T: np.ndarray, outputs: np.ndarray, source: Source, unknown: np.ndarray | None = None
) -> HeldOut | HeldOutNumbers | None:
    """Keep what limits need of the outputs for held-out rows, and of their targets `T`.

    None for several labels per row, which have thresholds of their own.

    Args:
        unknown: outputs for rows of the class `prepare.unknown`, if there are any.
    """
    if not task.has_classes:
        return HeldOutNumbers.from_outputs(task, T, outputs, source)
    return HeldOut.from_outputs(task, T, outputs, source, unknown) if task.is_exclusive else None


def _rows(count: int, source: Source) -> str:
    return counted(count, "validation row" if source == "validation" else "out-of-fold training row")


def sample(rows: int, most: int) -> np.ndarray:
    """Choose at most `most` of the rows at random, the same ones every time: ascending indices."""
    return np.sort(np.random.default_rng(0).permutation(rows)[:most])


def known_rows(X: Matrix) -> Known | None:
    """Keep vectors of at most `most_known(X)` training rows; None where there are too few. `X`: (rows, dim).

    They are rounded to float16, as most feature tables are, before their distances are computed.
    """
    if X.shape[0] <= familiarity.NEIGHBORS:
        return None
    values = X.shape[1] if isinstance(X, np.ndarray) else X.nnz / X.shape[0]
    unit = _rounded(nearest_rows.unit(X[sample(X.shape[0], most_known(values))].astype(np.float32)))
    with threadpool_limits(1):  # the same bytes with any number of threads
        return Known(unit, familiarity.leave_one_out(unit))


def most_known(values: float) -> int:
    """Return the number of training rows to keep, whose vectors have so many values."""
    return min(MAX_KNOWN_ROWS, max(int(MAX_KNOWN_VALUES / max(values, 1)), familiarity.NEIGHBORS + 1))


def _rounded(X: Matrix) -> Matrix:
    """Round to float16, in which vectors are stored."""
    if isinstance(X, np.ndarray):
        return X.astype(np.float16).astype(np.float32)
    return scipy.sparse.csr_matrix((X.data.astype(np.float16).astype(np.float32), X.indices, X.indptr), X.shape)
