"""Calibrate a fine-tuned model on the validation rows, and keep what tells how sure it is of new rows."""

from collections.abc import Sequence
from typing import Any

from stages.finetuning.classifier import Classifier
from stages.finetuning.rows import Rows
from stages.heads import certainty
from stages.heads.certainty import Certainty
from stages.heads.model_card import ModelCard
from stages.tasks.multilabel import ThresholdRule


def calibrate(
    card: ModelCard,
    classifier: Classifier,
    train: Rows,
    validation: Rows,
    *,
    is_head: bool,
    unknown: Sequence[Any] = (),
) -> tuple[ModelCard, Certainty]:
    """Fit temperatures and thresholds on the validation rows, if they are enough, and judge them with these.

    The validation rows chose among the epochs too, so a model may seem a little better by them than it is. Vectors of
    at most `certainty.MAX_KNOWN_ROWS` training rows are computed anew, by the weights that were trained.

    Args:
        card: model.json of the head.
        is_head: whether the network is the head and the pretrained weights; then it gives the same labels as the head.
        unknown: inputs of the validation rows of the class `prepare.unknown`.

    Returns:
        The card with temperatures and thresholds of the network, and how sure it is.
    """
    held_out, calibrated = None, card.with_task(classifier.task)
    if validation.inputs:
        rule: ThresholdRule = "same_labels" if is_head else "best_f1"
        if card.threshold != "auto":
            rule = "own"
        scores, y = classifier.scores(validation.inputs), validation.y
        temperatures, task = classifier.task.calibration(scores, y, rule)
        calibrated = card.with_task(task, temperatures)
        others = task.outputs(classifier.scores(unknown) / temperatures) if unknown else None
        held_out = certainty.judged(task, y, task.outputs(scores / temperatures), "validation", others)
    chosen = certainty.sample(len(train.inputs), certainty.most_known(classifier.encoder.dim))
    known = certainty.known_rows(classifier.encoder.encode([train.inputs[row] for row in chosen]))
    return calibrated, Certainty(held_out, known)
