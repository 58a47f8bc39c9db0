"""Fit a head as train_head ships it: on the training rows, or with `train_head.final: all` on all labelled ones."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages import tasks
from stages.common.errors import HeadstartError
from stages.common.params import TrainHeadParams
from stages.common.setting_types import TaskName
from stages.heads import choosing, numbers, one_vs_rest, ordered, propagation
from stages.heads.choosing import Chosen
from stages.heads.head import Head
from stages.heads.numbers import NumberHead
from stages.heads.one_vs_rest_head import OneVsRest
from stages.heads.ordered import OrderedHead
from stages.heads.propagation import Trial
from stages.scores import calibration
from stages.tables import features, label_texts, prepared
from stages.tables.features import Features, Matrix
from stages.tables.label_info import LabelInfo, check_single
from stages.tasks import Task
from stages.tasks.multilabel import Multilabel
from stages.tasks.ordinal import Ordinal
from stages.tasks.regression import Regression

AnyHead = Head | NumberHead | OneVsRest
UNKNOWN_LABEL_SCORE = -20.0  # of labels without a training row


def check_classes(labels: np.ndarray, split_folder: Path, task: TaskName = "single") -> None:
    """Raise a HeadstartError unless there are two classes; `labels`: (rows,) of the training rows in `split_folder`.

    Of several labels per row, one that only a part of the rows has is enough; of numbers, there must be two.
    """
    names = np.unique(labels.astype(str))
    if task == "multilabel" and len(names) < 2:
        raise HeadstartError(
            f"{split_folder} has the same labels in every row, {names[0] if len(names) else 'none'}, but a head needs a"
            " label that only a part of the rows has; label more rows, and run `dvc repro`"
        )
    if task == "regression" and len(names) < 2:
        rows = f"only rows with the number {names[0]}" if len(names) else "no labelled rows"
        raise HeadstartError(
            f"{split_folder} has {rows}, but a head needs different numbers; label more rows, and run `dvc repro`"
        )
    if len(names) < 2:
        rows = f"only rows of class {names[0]}" if len(names) else "no labelled rows"
        raise HeadstartError(
            f"{split_folder} has {rows}, but a head needs two classes; label more rows:"
            " `python -m stages.label` asks you for them; then run `dvc repro`"
        )


def check_settings(settings: TrainHeadParams, task: TaskName) -> None:
    """Raise a HeadstartError unless the settings can be followed for labels of this task."""
    kinds = {"ordinal": ("logistic",), "regression": ("logistic", "ridge")}.get(task)
    if kinds and settings.kind not in kinds:
        raise HeadstartError(
            f"train_head.kind is {settings.kind}, but a head for prepare.task {task} is {' or '.join(kinds)}; set it to"
            f" {kinds[-1]}"
        )
    if task == "regression" and settings.class_weight:
        raise HeadstartError(
            f"train_head.class_weight is {settings.class_weight}, but prepare.task is regression, and numbers have no"
            " classes; set it to null"
        )


class Fitted(NamedTuple):
    """A head, and how it came about.

    Attributes:
        factor: of its temperature, fitted on the validation rows: 1 where they are too few, or where the head was
            fitted on them too, whose temperature is that of out-of-fold scores. One for every label, where a row can
            have several.
        trial: of learning from unlabelled rows; None without them.
    """

    head: AnyHead
    chosen: Chosen
    factor: float | tuple[float, ...]
    trial: Trial | None = None


def unlabelled_rows(features_folder: Path, settings: TrainHeadParams) -> Features | None:
    """Read the unlabelled rows to learn from, if the settings say so and there are any."""
    if settings.unlabelled is None:
        return None
    rows = features.read(features_folder, prepared.LEARNING)
    check_single(rows.metadata, "learning from unlabelled rows", instead="set train_head.unlabelled to null")
    return rows if len(rows.ids) else None


def fit(train: Features, validation: Features, settings: TrainHeadParams, unlabelled: Features | None = None) -> Fitted:
    """Fit and calibrate a head; with `unlabelled` it also learns from these rows, if that is better."""
    if settings.final == "all":
        train = features.joined({"train": train, "validation": validation})
    if train.metadata.task == "multilabel":
        return _fit_labels(train, validation, settings)
    task = tasks.from_rows(train.metadata, train.labels)
    if isinstance(task, Regression):
        return Fitted(*numbers.fit(train.X, task.targets(train.labels), settings, train.groups), 1.0)
    plain: tuple[Head, Chosen]
    if isinstance(task, Ordinal):
        plain = ordered.fit(train.X, task.targets(train.labels), task, settings, train.groups)
    else:
        plain = choosing.fit(train.X, train.labels, settings, train.groups)
    (head, chosen), trial = propagation.fit(train, unlabelled, plain, settings) if unlabelled else (plain, None)
    if settings.final == "all":
        return Fitted(head, chosen, 1.0, trial)
    head, factor = calibrated(head, validation)
    return Fitted(head, chosen, factor, trial)


def logistic_head(X: Matrix, labels: np.ndarray, task: Task, C: float | None = None) -> tuple[AnyHead, float]:
    """Fit a logistic head, of numbers a ridge regression; without `C`, choose it as `fit` does.

    Args:
        X: (rows, dim) float32.
        labels: (rows,) as the tables write them.
        task: knows the labels; the head knows those that rows have.

    Returns:
        The head and its C.
    """
    settings = TrainHeadParams() if C is None else TrainHeadParams(C=(C,))
    if isinstance(task, Multilabel):
        task = tasks.from_rows(LabelInfo(task="multilabel"), labels)
    head, chosen = fit_targets(X, task.targets(labels), task, settings)
    return head, chosen.value


def fit_targets(
    X: Matrix, T: np.ndarray, task: Task, settings: TrainHeadParams, groups: np.ndarray | None = None
) -> tuple[AnyHead, Chosen]:
    """Fit a head on all rows, with the candidates of the lowest out-of-fold log loss.

    Args:
        X: (rows, dim) float32.
        T: targets of `task`. Of one label per row, the head knows those that rows have; of several, all.
        groups: (rows,) names; the cross-validation keeps the rows of a group in one fold.
    """
    if isinstance(task, Multilabel):
        return one_vs_rest.fit(X, T, task.labels, settings, groups)
    if isinstance(task, Regression):
        return numbers.fit(X, T, settings, groups)
    if isinstance(task, Ordinal):
        known = np.unique(T)
        labels = tuple(task.labels[index] for index in known)
        return ordered.fit(X, np.searchsorted(known, T), Ordinal(labels), settings, groups)
    return choosing.fit(X, task.written(T), settings, groups)


def layer(head: AnyHead, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the layer of a linear head for `labels`, of which it may not know all: weight (columns, dim) and bias."""
    known = head.layer()
    assert known is not None
    if isinstance(head, NumberHead):
        return known
    if isinstance(head, OrderedHead):
        return _ordered_layer(*known, head.labels, labels)
    weight, bias = np.zeros((len(labels), known[0].shape[1])), np.full(len(labels), UNKNOWN_LABEL_SCORE)
    rows = [labels.index(label) for label in head.labels]
    weight[rows], bias[rows] = known
    return weight, bias


def _ordered_layer(
    weight: np.ndarray, bias: np.ndarray, known: Sequence[str], labels: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Add the thresholds of labels that a head does not know: those of the nearest lower label that it knows.

    Below all known labels, nearly every row is above; above them, nearly none is.
    """
    ends = np.concatenate([[ordered.FAR], bias, [-ordered.FAR]])
    counts = np.cumsum([label in known for label in labels[:-1]])  # of known labels up to every one
    return np.repeat(weight[:1], len(counts), axis=0), ends[counts]


def _fit_labels(train: Features, validation: Features, settings: TrainHeadParams) -> Fitted:
    """Fit and calibrate a head for rows with several labels."""
    labels = label_texts.vocabulary(train.labels)
    Y = label_texts.indicators(train.labels, labels)
    head, chosen = one_vs_rest.fit(train.X, Y, labels, settings, train.groups)
    temperatures = np.ones(len(labels))
    if settings.final == "train":
        known = label_texts.indicators(validation.labels, labels)
        temperatures, _ = head.task.calibration(head.scores(validation.X), known, "same_labels")
        calibrated_head = head.calibrated(temperatures)
        # A threshold that is set is one of calibrated probabilities.
        head = calibrated_head if settings.threshold == "auto" else replace(calibrated_head, thresholds=head.thresholds)
    return Fitted(head, chosen, tuple(temperatures.tolist()))


def calibrated(head: Head, validation: Features) -> tuple[Head, float]:
    """Fit the temperature to the validation rows of known labels; give the new head and the factor."""
    known = np.flatnonzero(head.task.knows(validation.labels))
    if len(known) < calibration.MIN_CALIBRATION_ROWS:
        return head, 1.0
    rows = validation.select(known)
    factor, _ = head.task.calibration(head.calibration_scores(rows.X), head.task.targets(rows.labels), "own")
    return replace(head, temperature=head.temperature * float(factor)), float(factor)
