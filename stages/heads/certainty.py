"""How sure a model can be of new rows: by held-out rows, and by the training rows that it knows."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, Self

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from stages.common.errors import HeadstartError, counted
from stages.common.predict_params import PredictParams
from stages.scores import conformal, familiarity, nearest_rows, selective
from stages.tables.features import Matrix

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
    def from_probabilities(
        cls, P: np.ndarray, y: np.ndarray, source: Source, unknown: np.ndarray | None = None
    ) -> Self:
        """Keep what thresholds need of probabilities, (rows, labels), and true labels, (rows,) indices.

        Args:
            unknown: probabilities of unknown rows, (unknown rows, labels).
        """
        rows = sample(len(y), MAX_HELD_OUT_ROWS)
        if unknown is not None:  # the same share of both
            others = sample(len(unknown), round(len(unknown) * len(rows) / max(len(y), 1)))
            unknown = unknown[others].max(axis=1).astype(np.float32)
        P, y = P[rows], y[rows]
        p_true = P[np.arange(len(y)), y].astype(np.float32)
        return cls(P.max(axis=1).astype(np.float32), P.argmax(axis=1) == y, p_true, source, unknown)

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
        noun = "validation row" if self.source == "validation" else "out-of-fold training row"
        rows, confidence = counted(len(self.confidence), noun), self.limits(settings).confidence
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

    def verdicts(self, P: np.ndarray, unfamiliar: np.ndarray | None = None) -> "Verdicts":
        """Judge rows by their probabilities, (rows, labels); `unfamiliar`: as in `Verdicts`."""
        P = P.astype(np.float32)
        return Verdicts(P.max(axis=1) >= self.confidence, conformal.members(P, self.probability), unfamiliar)


class Verdicts(NamedTuple):
    """How sure the model is of rows. An attribute is None where the model's folder lacks the rows for it.

    Attributes:
        accepted: (rows,) bool.
        sets: (rows, labels) bool: the labels of the prediction set.
        unfamiliar: (rows,) percentiles, from 0 to 100.
    """

    accepted: np.ndarray | None = None
    sets: np.ndarray | None = None
    unfamiliar: np.ndarray | None = None


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
        distances = familiarity.distances(self._unit, X.astype(np.float32), is_unit=True)
        return familiarity.percentiles(self.distances, distances)


@dataclass(frozen=True)
class Certainty:
    """How sure a model can be of new rows: by rows that it was not fitted on, and by those that it knows.

    Either is None where there are too few rows for it.
    """

    held_out: HeldOut | None = None
    known: Known | None = None

    def verdicts(self, P: np.ndarray, unfamiliar: np.ndarray | None, settings: PredictParams) -> Verdicts:
        """Judge rows by their probabilities, (rows, labels); `unfamiliar`: as in `Verdicts`."""
        if self.held_out is None:
            return Verdicts(unfamiliar=unfamiliar)
        return self.held_out.limits(settings).verdicts(P, unfamiliar)


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
    return sparse.csr_matrix((X.data.astype(np.float16).astype(np.float32), X.indices, X.indptr), X.shape)
