"""How accuracy grows with the labels per class, for features of a backbone and for a baseline without transfer.

Each point is the test accuracy of logistic heads on several draws of the training rows, the same draws for both. The
regularisation of a point is chosen by cross-validation on its first draw.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from stages import baseline, heads, samples
from stages.features import Features, Vectors
from stages.model import Model
from stages.params import BudgetParams, EvaluateParams

MOST_ROWS = 20_000  # training rows of the last point, in which every class has as many as there are


@dataclass(frozen=True)
class Draws:
    """Training rows for one point of the curve."""

    per_class: float  # labels per class; the mean where not all classes have as many
    rows: tuple[np.ndarray, ...]  # indices of the training rows of each draw


@dataclass(frozen=True)
class Point:
    """The accuracies of one point, one for each draw."""

    per_class: float
    accuracies: tuple[float, ...]

    @property
    def accuracy(self) -> float:
        """Their mean."""
        return fmean(self.accuracies)


@dataclass(frozen=True)
class Curve:
    """All points, and of the last head, which had all rows, C and probabilities of the test rows: (rows, labels)."""

    points: tuple[Point, ...]
    C: float
    P: np.ndarray


def draws(ids: np.ndarray, labels: np.ndarray, sizes: Sequence[int], *, repeats: int, seed: int) -> list[Draws]:
    """The training rows of each point: `repeats` draws of as many labels per class as each of `sizes` says.

    Sizes that no class has rows for are left out; the last point is one draw of all rows (at most about `MOST_ROWS`).

    Args:
        ids: (rows,)
        labels: (rows,)
    """
    counts = np.unique(labels, return_counts=True)[1]
    out = [
        Draws(float(size), tuple(_draw(ids, labels, size, seed + repeat) for repeat in range(repeats)))
        for size in sorted(set(sizes))
        if size < counts.max() and size * len(counts) <= MOST_ROWS
    ]
    everything = np.arange(len(ids))
    if len(ids) > MOST_ROWS:
        everything = _draw(ids, labels, max(MOST_ROWS // len(counts), 1), seed)
    return [*out, Draws(len(everything) / len(counts), (everything,))]


def measure(
    points: Sequence[Draws], vectors: Vectors, train: np.ndarray, test: np.ndarray, last_C: float | None = None
) -> Curve:
    """The curve of the features that `vectors` gives.

    Args:
        train: (rows,) labels of the training rows that the draws are of.
        test: (test rows,) labels.
        last_C: what cross-validation chose for the last point, where that is known; it takes longest there.
    """
    out = []
    for point in points:
        accuracies: list[float] = []
        C = last_C if point is points[-1] else None
        for rows in point.rows:
            X, T = vectors(rows)
            head, C = heads.logistic_head(X, train[rows], C)
            P = head.probabilities(T)
            accuracies.append(float((np.array(head.labels, dtype=object)[P.argmax(axis=1)] == test).mean()))
        out.append(Point(point.per_class, tuple(accuracies)))
    assert C is not None
    return Curve(tuple(out), C, P)


def of_both(prepared: Path, train: Features, test: Features, head: Model, settings: EvaluateParams) -> dict[str, Curve]:
    """The curves of `backbone` and, if anything can be learned from the training rows without one, of `baseline`."""
    usual = head.chosen["kind"] == "logistic" and len(train.ids) <= MOST_ROWS
    points = draws(train.ids, train.labels, settings.learning_curve, repeats=settings.repeats, seed=settings.seed)
    vectors: dict[str, Vectors | None] = {
        "backbone": lambda rows: (train.X[rows], test.X),
        "baseline": baseline.load(prepared, train.metadata.modality, train.ids.tolist(), test.ids.tolist()),
    }
    known = {"backbone": head.chosen["value"]} if usual else {}
    return {name: measure(points, of, train.labels, test.labels, known.get(name)) for name, of in vectors.items() if of}


def labels_saved(curves: Mapping[str, Curve]) -> dict[str, Any]:
    """How many labels per class the baseline needs for the accuracy of the backbone at its smallest point.

    Returns:
        `accuracy`, and the labels per class of `backbone` and of `baseline`: a number, or `more than` all there are.
    """
    start = curves["backbone"].points[0]
    saved: dict[str, Any] = {"accuracy": start.accuracy, "backbone": start.per_class}
    if "baseline" in curves:
        needed = labels_needed(curves["baseline"], start.accuracy)
        most = curves["baseline"].points[-1].per_class
        saved["baseline"] = f"more than {most:.0f}" if needed is None else needed
    return saved


def labels_needed(curve: Curve, accuracy: float) -> float | None:
    """Labels per class at which the curve reaches `accuracy`: between points, straight over the logarithm of labels.

    None where it never does.
    """
    first = curve.points[0]
    if first.accuracy >= accuracy:
        return first.per_class
    for below, above in itertools.pairwise(curve.points):
        if above.accuracy >= accuracy:
            share = (accuracy - below.accuracy) / (above.accuracy - below.accuracy)
            return float(below.per_class * (above.per_class / below.per_class) ** share)
    return None


def _draw(ids: np.ndarray, labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    return np.flatnonzero(samples.within_budget(ids, labels, BudgetParams(per_class=per_class, seed=seed)))
