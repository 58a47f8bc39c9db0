"""How accuracy grows with the labels per class, for features of a backbone and for a baseline without transfer.

Each point is the test accuracy of logistic heads on several draws of the training rows, the same draws for both. Their
regularisation is chosen once, on all rows: to choose it for every point would cost ten times as much for little.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from stages.common.params import BudgetParams, EvaluateParams, Modality
from stages.tables import prepared
from stages.tables.features import Features, Vectors

BASELINES: dict[Modality, str] = {"text": "TF-IDF of words", "image": "32 x 32 pixels"}
MAX_CURVE_ROWS = 20_000  # training rows of the last point, in which every class has as many as there are


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

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The curve as arrays, to be kept under names that start with `name`."""
        values = [
            (place, point.per_class, accuracy)
            for place, point in enumerate(self.points)
            for accuracy in point.accuracies
        ]
        return {f"{name}.points": np.array(values), f"{name}.C": np.array(self.C), f"{name}.P": self.P}

    @classmethod
    def from_arrays(cls, name: str, arrays: Mapping[str, np.ndarray]) -> "Curve":
        """What `arrays` gave."""
        # By place: the last point, of all rows, can have as many labels per class as the one before it.
        points: dict[tuple[float, float], list[float]] = {}
        for place, per_class, accuracy in arrays[f"{name}.points"].tolist():
            points.setdefault((place, per_class), []).append(accuracy)
        found = tuple(Point(per_class, tuple(accuracies)) for (_, per_class), accuracies in points.items())
        return cls(found, float(arrays[f"{name}.C"]), arrays[f"{name}.P"])


def draws(ids: np.ndarray, labels: np.ndarray, sizes: Sequence[int], *, repeats: int, seed: int) -> list[Draws]:
    """The training rows of each point: `repeats` draws of as many labels per class as each of `sizes` says.

    Sizes without rows are left out; the last point is one draw of all rows (about `MAX_CURVE_ROWS` at most).

    Args:
        ids: (rows,)
        labels: (rows,)
    """
    counts = np.unique(labels, return_counts=True)[1]
    out = [
        Draws(float(size), tuple(_draw(ids, labels, size, seed + repeat) for repeat in range(repeats)))
        for size in sorted(set(sizes))
        if size < counts.max() and size * len(counts) <= MAX_CURVE_ROWS
    ]
    everything = np.arange(len(ids))
    if len(ids) > MAX_CURVE_ROWS:
        everything = _draw(ids, labels, max(MAX_CURVE_ROWS // len(counts), 1), seed)
    return [*out, Draws(len(everything) / len(counts), (everything,))]


def measure(points: Sequence[Draws], vectors: Vectors, train: np.ndarray, test: np.ndarray) -> Curve:
    """The curve of the features that `vectors` gives.

    Args:
        train: (rows,) labels of the training rows that the draws are of.
        test: (test rows,) labels.
    """
    from stages.heads import choosing  # takes most of a second, and is not needed for curves that are kept

    curve: list[Point] = []
    C: float | None = None
    for point in reversed(points):  # the last one first: it gives C to the others
        accuracies = []
        for rows in point.rows:
            X, T = vectors(rows)
            head, C = choosing.logistic_head(X, train[rows], C)
            P = head.probabilities(T)
            accuracies.append(float((np.array(head.labels, dtype=object)[P.argmax(axis=1)] == test).mean()))
        if not curve:
            of_all = P
        curve.insert(0, Point(point.per_class, tuple(accuracies)))
    assert C is not None
    return Curve(tuple(curve), C, of_all)


def both_curves(prepared_folder: Path, train: Features, test: Features, settings: EvaluateParams) -> dict[str, Curve]:
    """The curves of `backbone` and, if anything can be learned from the training rows without one, of `baseline`."""
    from stages.evaluation import baseline

    points = draws(train.ids, train.labels, settings.learning_curve, repeats=settings.repeats, seed=settings.seed)
    drawn = np.unique(np.concatenate([rows for point in points for rows in point.rows]))
    curves = {"backbone": measure(points, lambda rows: (train.X[rows], test.X), train.labels, test.labels)}
    vectors = baseline.load(prepared_folder, train.metadata.modality, train.ids[drawn].tolist(), test.ids.tolist())
    if vectors:
        of_drawn = vectors
        curves["baseline"] = measure(
            points, lambda rows: of_drawn(np.searchsorted(drawn, rows)), train.labels, test.labels
        )
    return curves


def _draw(ids: np.ndarray, labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    return np.flatnonzero(prepared.within_budget(ids, labels, BudgetParams(per_class=per_class, seed=seed)))
