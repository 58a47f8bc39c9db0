"""How good heads are by the labels per class, for a backbone's features and for a baseline without transfer.

A point is the mean primary metric on the test rows, such as accuracy, of logistic heads on several draws of training
rows, the same for backbone and baseline. The regularisation of a curve is chosen once, on the rows of its last point:
choosing it for every point would take ten times as long and change little. Of numbers the heads are ridge regressions,
and `per_class` is the number of all rows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TypeAlias

import numpy as np

from stages import tasks
from stages.common.params import BudgetParams, EvaluateParams, Modality
from stages.common.setting_types import TaskName
from stages.tables import label_texts, prepared
from stages.tables.features import Features, Matrix
from stages.tables.label_info import LabelInfo

BASELINES: dict[Modality, str] = {"text": "TF-IDF of words", "image": "32 x 32 pixels"}
MAX_CURVE_ROWS = 20_000  # training rows of a draw

# Maps indices of training rows to the vectors of these rows and of all test rows.
Vectors: TypeAlias = Callable[[np.ndarray], tuple[Matrix, Matrix]]


@dataclass(frozen=True)
class Draws:
    """Training rows for one point of a curve."""

    per_class: float  # labels per class; the mean where classes differ
    rows: tuple[np.ndarray, ...]  # one array of training-row indices for every draw


@dataclass(frozen=True)
class Point:
    """The primary metric at one point, one value for every draw."""

    per_class: float
    values: tuple[float, ...]

    @property
    def value(self) -> float:
        """Return the mean of the values."""
        return fmean(self.values)


@dataclass(frozen=True)
class Curve:
    """The points of a curve; C and test outputs, (test rows, …), are those of the head of the last point."""

    points: tuple[Point, ...]
    C: float
    P: np.ndarray

    def to_arrays(self, name: str) -> dict[str, np.ndarray]:
        """Turn the curve into arrays for `cached_results`; their keys start with `name`."""
        values = [(index, point.per_class, value) for index, point in enumerate(self.points) for value in point.values]
        return {f"{name}.points": np.array(values), f"{name}.C": np.array(self.C), f"{name}.P": self.P}

    @classmethod
    def from_arrays(cls, name: str, arrays: Mapping[str, np.ndarray]) -> "Curve":
        """Rebuild the curve from what `to_arrays` returned."""
        # By index too: the last point can have as many labels per class as the one before it.
        of_point: dict[tuple[float, float], list[float]] = {}
        for index, per_class, value in arrays[f"{name}.points"].tolist():
            of_point.setdefault((index, per_class), []).append(value)
        points = tuple(Point(per_class, tuple(values)) for (_, per_class), values in of_point.items())
        return cls(points, float(arrays[f"{name}.C"]), arrays[f"{name}.P"])


def draws(
    ids: np.ndarray,
    labels: np.ndarray,
    sizes: Sequence[int],
    *,
    repeats: int,
    seed: int,
    task: TaskName = "single",
) -> list[Draws]:
    """Draw training rows for every point: `repeats` times as many rows per class as a size says.

    Sizes that no class exceeds are left out; the last point is one draw of all rows, or of about `MAX_CURVE_ROWS`.

    Args:
        ids: (rows,)
        labels: (rows,)
        sizes: labels per class.
        task: says what labels are; numbers are one class.
    """
    counts = np.array([*label_texts.counts(labels, task).values()] or [len(ids)])
    sizes = [size for size in sorted(set(sizes)) if size < counts.max() and size * len(counts) <= MAX_CURVE_ROWS]
    by_repeat = [_nested_draws(ids, labels, sizes, seed + repeat, task) for repeat in range(repeats)]
    points = [Draws(float(size), rows) for size, rows in zip(sizes, zip(*by_repeat, strict=True), strict=True)]
    all_rows = np.arange(len(ids))
    if len(ids) > MAX_CURVE_ROWS:
        all_rows = _draw(ids, labels, max(MAX_CURVE_ROWS // len(counts), 1), seed, task)
    return [*points, Draws(len(all_rows) / len(counts), (all_rows,))]


def measure(points: Sequence[Draws], vectors: Vectors, train: np.ndarray, test: np.ndarray, info: LabelInfo) -> Curve:
    """Train a logistic head, of numbers a ridge head, on every draw and measure its primary metric on the test rows.

    Args:
        points: the draws, the largest last.
        vectors: from training-row indices to the features of these rows and of the test rows.
        train: (training rows,) labels.
        test: (test rows,) labels.
        info: says what labels are.
    """
    from stages.heads import choosing, training  # takes most of a second, and is not needed for cached curves

    def evaluate_draw(rows: np.ndarray, C: float | None) -> tuple[float, float, np.ndarray]:
        X, X_test = vectors(rows)
        head, C = training.logistic_head(X, train[rows], task, C)
        outputs = tasks.placed(task, head.outputs(X_test), head.labels)
        return float(task.row_values(T, outputs).mean()), C, outputs

    task = tasks.from_rows(info, np.concatenate([train, test]))  # a label of test rows alone is never predicted
    T = task.targets(test)
    *smaller, largest = points
    (all_rows,) = largest.rows
    value, C, P = evaluate_draw(all_rows, None)  # chooses the C of all points
    with choosing.side_by_side() as pool:
        curve = [
            Point(point.per_class, tuple(pool.map(lambda rows: evaluate_draw(rows, C)[0], point.rows)))
            for point in smaller
        ]
    return Curve((*curve, Point(largest.per_class, (value,))), C, P)


def points(train: Features, settings: EvaluateParams) -> list[Draws]:
    """Draw training rows for the curves of backbone and baseline, which are measured on the same rows."""
    return draws(
        train.ids,
        train.labels,
        settings.learning_curve,
        repeats=settings.repeats,
        seed=settings.seed,
        task=train.metadata.task,
    )


def of_backbone(points: Sequence[Draws], train: Features, test: Features) -> Curve:
    """Measure the curve of the features, with the test rows in float32 no longer than that takes."""
    X_test = test.single(np.arange(len(test.ids)))
    return measure(points, lambda rows: (train.single(rows), X_test), train.labels, test.labels, train.metadata)


def of_baseline(prepared_folder: Path, points: Sequence[Draws], train: Features, test: Features) -> Curve | None:
    """Measure the curve of features without transfer; None where no training text holds a word."""
    from stages.evaluation import baseline

    drawn = np.unique(np.concatenate([rows for point in points for rows in point.rows]))
    vectors = baseline.load(prepared_folder, train.metadata.modality, train.ids[drawn].tolist(), test.ids.tolist())
    if vectors is None:
        return None
    return measure(
        points,
        lambda rows: vectors(np.searchsorted(drawn, rows)),
        train.labels,
        test.labels,
        train.metadata,
    )


def _nested_draws(
    ids: np.ndarray, labels: np.ndarray, sizes: Sequence[int], seed: int, task: TaskName
) -> list[np.ndarray]:
    """Draw rows for every size, from the last to the first, the smallest: a draw holds all smaller ones of its seed."""
    rows, nested = np.arange(len(ids)), []
    for size in reversed(sizes):
        rows = rows[_draw(ids[rows], labels[rows], size, seed, task)]
        nested.append(rows)
    return nested[::-1]


def _draw(ids: np.ndarray, labels: np.ndarray, per_class: int, seed: int, task: TaskName) -> np.ndarray:
    """Draw at most `per_class` rows of every class, as a budget does: their indices, ascending."""
    return np.flatnonzero(prepared.within_budget(ids, labels, BudgetParams(per_class=per_class, seed=seed), task))
