"""Calibrate a fine-tuned model on the validation rows, and keep what tells how sure it is of new rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from stages.finetuning.outcome import Outcome
from stages.finetuning.rows import Rows
from stages.heads import certainty
from stages.heads.certainty import Certainty
from stages.heads.model_card import ModelCard
from stages.tasks import Task
from stages.tasks.multilabel import ThresholdRule


def calibrate(
    card: ModelCard,
    trained: Outcome,
    train: Rows,
    validation: Rows,
    *,
    unknown: Sequence[Any] = (),
) -> tuple[ModelCard, Certainty]:
    """Fit temperatures and thresholds on the validation rows, if they are enough, and judge them with these.

    The validation rows chose among the epochs too, so a model may seem a little better by them than it is. Vectors of
    at most `certainty.MAX_KNOWN_ROWS` training rows are computed anew, by the weights that were trained. A network that
    is the head and the pretrained weights gives the same labels as the head.

    Args:
        card: model.json of the head.
        unknown: inputs of the validation rows of the class `prepare.unknown`.

    Returns:
        The card with temperatures and thresholds of the network, and how sure it is.
    """
    judged, encoder, task = trained.judged, trained.classifier.encoder, trained.classifier.task
    held_out, calibrated = None, card.with_task(task)
    if judged is not trained.classifier:
        validation = _learned(validation, train, task)
    if validation.inputs:
        rule: ThresholdRule = "best_f1" if trained.progress.kept else "same_labels"
        if card.threshold != "auto":
            rule = "own"
        scores, y = judged.scores(validation.inputs), validation.y
        temperatures, task = judged.task.calibration(scores, y, rule)
        calibrated = card.with_task(task if task.has_classes else trained.classifier.task, temperatures)
        others = task.outputs(judged.scores(unknown) / temperatures) if unknown else None
        held_out = certainty.judged(task, y, task.outputs(scores / temperatures), "validation", others)
    chosen = certainty.sample(len(train.inputs), certainty.most_known(encoder.dim))
    known = certainty.known_rows(encoder.encode([train.inputs[row] for row in chosen]))
    return calibrated, Certainty(held_out, known)


def _learned(rows: Rows, train: Rows, task: Task) -> Rows:
    """Leave out rows of classes that no row of `train` has: the network that is judged is sure that they are others.

    The network that is shipped has learned them, so they must not make it unsure of all rows. Where a row can have
    several labels, each has a temperature of its own.
    """
    if not task.has_classes or rows.y.ndim == 2:
        return rows
    kept = np.flatnonzero(np.isin(rows.y, train.y))
    inputs, groups = ([values[row] for row in kept] for values in (rows.inputs, rows.groups))
    return rows._replace(inputs=inputs, y=rows.y[kept], groups=groups)
