"""Judge the head where there are no test rows: every labelled row by heads that did not see it.

The labelled rows, those of training and validation, are divided into folds of like classes that keep groups together,
several times over. For every fold, a head is chosen, fitted and calibrated on the other folds, as train_head does. So
no label decides the prediction of its own row. The vectors do not know labels, though TF-IDF takes its words and their
weights from all training texts.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from stages import tasks
from stages.common.errors import HeadstartError
from stages.common.params import EvaluateParams, TrainHeadParams
from stages.evaluation import baseline, learning_curve
from stages.evaluation import near_duplicates as duplicates
from stages.evaluation.baseline import FoldVectors
from stages.evaluation.learning_curve import Curve, Point
from stages.heads import folds, training
from stages.heads.folds import Fold
from stages.scores import nearest_rows, proportions
from stages.tables.features import Features, Matrix
from stages.tasks import Task

if TYPE_CHECKING:
    import pandas as pd

# More repeats hardly narrow the intervals: with 5 folds their variance is 1.16 times that of test rows, and at least 1
# with any number. Where rows are many, one repeat is enough; every one takes as long as training a head for every fold.
REPEATS = 5
MAX_REPEATED_ROWS = 5_000  # rows of all repeats together, unless one has more


@dataclass(frozen=True)
class Division:
    """Labelled rows, divided into folds several times.

    Attributes:
        repeats: the folds of every repeat; indices into the labelled rows.
        judged: (judged rows,) the rows that every repeat judges, ascending. A row of a class that is in one fold only
            is not among them: no head knows its class.
    """

    repeats: tuple[tuple[Fold, ...], ...]
    judged: np.ndarray

    @property
    def count(self) -> int:
        """Number of folds."""
        return len(self.repeats[0])

    @property
    def spread(self) -> float:
        """How many times the variance of a share of the rows is that of a share of as many test rows."""
        return proportions.cross_validation_spread(self.count, len(self.repeats))

    def positions(self) -> list[tuple[Fold, np.ndarray]]:
        """List the folds of the first repeat, whose predictions are shown, with the indices into `judged` of each."""
        held_out = (np.flatnonzero(np.isin(self.judged, fold.held_out)) for fold in self.repeats[0])
        return list(zip(self.repeats[0], held_out, strict=True))

    def fold_numbers(self) -> np.ndarray:
        """Number the folds of the first repeat from 1: (judged rows,)."""
        numbers = np.zeros(len(self.judged), dtype=np.int32)
        for number, (_, rows) in enumerate(self.positions(), start=1):
            numbers[rows] = number
        return numbers


def divide(labelled: Features, settings: EvaluateParams, final: str) -> Division:
    """Divide the labelled rows.

    Args:
        final: `train_head.final`: the rows that heads are fitted on.

    Raises:
        HeadstartError: the rows are too few to be judged.
    """
    task = labelled.metadata.task
    y, are_classes = folds.strata(labelled.labels, task), task != "regression"
    number = max(1, min(REPEATS, MAX_REPEATED_ROWS // max(len(y), 1)))
    is_fitted = (labelled.split_names("train") == "train") | (final == "all")
    # By held-out rows: few groups can be divided in few ways, and the same division twice tells nothing new.
    divisions: dict[frozenset[bytes], tuple[Fold, ...]] = {}
    for repeat in range(number):
        seed = settings.seed + repeat
        parts = folds.split(y, settings.cross_validation, groups=labelled.groups, seed=seed, are_classes=are_classes)
        key = frozenset(fold.held_out.tobytes() for fold in parts)
        divisions.setdefault(key, tuple(_judgeable(parts, y, is_fitted) if are_classes else parts))
    repeats = list(divisions.values())
    judged = [np.sort(np.concatenate([fold.held_out for fold in parts])) for parts in repeats if len(parts) > 1]
    everywhere = functools.reduce(np.intersect1d, judged) if len(judged) == len(repeats) else np.empty(0, dtype=int)
    if len(np.unique(y[everywhere])) < 2:
        fix = "label more rows" if labelled.groups is None else "label rows of more groups, set prepare.group to null"
        raise HeadstartError(
            "there are no test rows, and too few labelled rows for a cross-validation, which needs"
            f" {'two classes of two' if are_classes else 'four'} {'rows' if labelled.groups is None else 'groups'};"
            f" {fix}, or raise budget.per_class or prepare.test"
        )
    return Division(tuple(repeats), everywhere)


def _judgeable(parts: Sequence[Fold], y: np.ndarray, is_fitted: np.ndarray) -> Iterator[Fold]:
    """Yield the folds whose head knows two classes, each without the rows of classes that it does not know."""
    for fold in parts:
        known = np.unique(y[fold.training[is_fitted[fold.training]]])
        held_out = fold.held_out[np.isin(y[fold.held_out], known)]
        if len(known) > 1 and len(held_out):
            yield Fold(fold.training, held_out)


def measure(
    prepared_folder: Path,
    labelled: Features,
    division: Division,
    labels: Sequence[str],
    settings: tuple[EvaluateParams, TrainHeadParams],
    *,
    unlabelled: Features | None = None,
) -> dict[str, np.ndarray]:
    """Compute all that is slow, as arrays for `cached_results`; `unlabelled`: rows that every head learns from.

    Returns:
        `head` and, where a text holds a word, `baseline`: the outputs for the judged rows, (repeats, judged rows, …);
        and the learning curves of both.
    """
    arrays = {"head": head_probabilities(labelled, division, labels, settings[1], unlabelled)}
    P = baseline_probabilities(prepared_folder, labelled, division, labels)
    if P is not None:
        arrays["baseline"] = P
    for name, curve in curves(prepared_folder, labelled, division, settings[0]).items():
        arrays |= curve.to_arrays(name)
    return arrays


def head_probabilities(
    labelled: Features,
    division: Division,
    labels: Sequence[str],
    settings: TrainHeadParams,
    unlabelled: Features | None = None,
) -> np.ndarray:
    """Compute the outputs for the judged rows by heads of the other folds: (repeats, judged rows, …)."""

    def predict(fold: Fold) -> tuple[np.ndarray, Sequence[str]]:
        known = labelled.select(fold.training)
        train, validation = (known.select(known.split_names("train") == split) for split in ("train", "validation"))
        head = training.fit(train, validation, settings, unlabelled).head
        return head.outputs(labelled.X[fold.held_out]), head.labels

    return _out_of_fold(division, tasks.load(labelled.metadata.task, labels), predict, "heads")


def baseline_probabilities(
    prepared_folder: Path, labelled: Features, division: Division, labels: Sequence[str]
) -> np.ndarray | None:
    """Compute the same by the baseline, which is fitted on the same rows; None where no text holds a word."""
    vectors = _baseline_vectors(prepared_folder, labelled)
    if vectors is None:
        return None

    def predict(fold: Fold) -> tuple[np.ndarray, Sequence[str]]:
        X, X_held_out = vectors(fold.training, fold.held_out)
        known = labelled.labels[fold.training]
        head = training.logistic_head(X, known, tasks.from_rows(labelled.metadata, known))[0]
        return head.outputs(X_held_out), head.labels

    return _out_of_fold(division, tasks.load(labelled.metadata.task, labels), predict, "baseline")


def curves(prepared_folder: Path, labelled: Features, division: Division, settings: EvaluateParams) -> dict[str, Curve]:
    """Measure the learning curves of backbone and baseline: a point is the mean over the folds of the first repeat.

    In every fold, `settings.repeats` / folds draws, at least one, of its training rows are judged on its other rows.
    The probabilities of the curves are empty, since baseline and head are judged by all repeats.
    """
    vectors = {"backbone": lambda training, held_out: (labelled.X[training], labelled.X[held_out])}
    if baseline_vectors := _baseline_vectors(prepared_folder, labelled):
        vectors["baseline"] = baseline_vectors
    parts: dict[str, list[Curve]] = {name: [] for name in vectors}
    repeats, info = -(-settings.repeats // division.count), labelled.metadata
    for fold in tqdm(division.repeats[0], desc="evaluate: learning curve", unit=" folds", disable=None):
        train = labelled.select(fold.training)
        points = learning_curve.draws(
            train.ids,
            train.labels,
            settings.learning_curve,
            repeats=repeats,
            seed=settings.seed,
            task=info.task,
        )
        for name, both in vectors.items():
            rows = partial(_in_fold, both, fold)
            parts[name].append(learning_curve.measure(points, rows, train.labels, labelled.labels[fold.held_out], info))
    return {name: _mean(folds_of_curve) for name, folds_of_curve in parts.items()}


def _in_fold(vectors: FoldVectors, fold: Fold, rows: np.ndarray) -> tuple[Matrix, Matrix]:
    return vectors(fold.training[rows], fold.held_out)


def _mean(parts: Sequence[Curve]) -> Curve:
    """Join the curves of folds point by point; the sizes that not all of them have are left out."""
    smaller = [point for curve in parts for point in curve.points[:-1]]
    sizes = set.intersection(*({point.per_class for point in curve.points[:-1]} for curve in parts))
    same = [[point for point in smaller if point.per_class == size] for size in sorted(sizes)]
    points = [
        Point(fmean(point.per_class for point in group), tuple(value for point in group for value in point.values))
        for group in [*same, [curve.points[-1] for curve in parts]]
    ]
    return Curve(tuple(points), parts[0].C, np.empty((0, 0)))


def _baseline_vectors(prepared_folder: Path, labelled: Features) -> FoldVectors | None:
    ids = {split: labelled.ids[labelled.split_names("train") == split].tolist() for split in ("train", "validation")}
    return baseline.load_splits(prepared_folder, labelled.metadata.modality, ids)


def _out_of_fold(
    division: Division,
    task: Task,
    predict: Callable[[Fold], tuple[np.ndarray, Sequence[str]]],
    name: str,
) -> np.ndarray:
    """Put the outputs of all folds together: (repeats, judged rows, …).

    Args:
        predict: returns the outputs for the rows that a fold holds out, and the labels that they are of.
        name: of what is judged, for the progress bar.
    """
    out = np.stack([task.unknown(len(division.judged))] * len(division.repeats))
    parts = [(repeat, fold) for repeat, parts in enumerate(division.repeats) for fold in parts]
    for repeat, fold in tqdm(parts, desc=f"evaluate: cross-validating {name}", unit=" folds", disable=None):
        values, known = predict(fold)
        is_judged = np.isin(fold.held_out, division.judged)
        rows = np.searchsorted(division.judged, fold.held_out[is_judged])
        out[repeat, rows] = tasks.placed(task, values[is_judged], known)
    return out


def near_duplicates(labelled: Features, division: Division, threshold: float) -> "pd.DataFrame":
    """Pair judged rows with the nearest row that their head was trained on, as `near_duplicates.find` does."""
    import pandas as pd

    parts = []
    for fold, rows in division.positions():
        pairs = duplicates.find(labelled.X[fold.training], labelled.X[division.judged[rows]], threshold)
        parts.append(pairs.assign(test=rows[pairs["test"]], train=fold.training[pairs["train"]]))
    joined = pd.concat(parts, ignore_index=True)
    return joined.sort_values(["cosine", "test"], ascending=[False, True], ignore_index=True)


def nearest(labelled: Features, division: Division, rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the rows nearest to judged rows among those that their head was trained on, as `nearest_rows.find` does.

    Args:
        rows: (rows,) indices into the judged rows.
    """
    count = min(count, *(len(fold.training) for fold in division.repeats[0]))
    indices, cosines = np.zeros((len(rows), count), dtype=np.int64), np.zeros((len(rows), count), dtype=np.float32)
    for fold, members in division.positions():
        chosen = np.flatnonzero(np.isin(rows, members))
        here, cosines[chosen] = nearest_rows.find(
            labelled.X[fold.training], labelled.X[division.judged[rows[chosen]]], count
        )
        indices[chosen] = fold.training[here]
    return indices, cosines
