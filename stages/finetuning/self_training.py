"""Train a second network on labels and on guesses of unlabelled rows, and keep the better of both."""

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stages.common.errors import counted
from stages.common.params import BudgetParams, TrainHeadParams
from stages.finetuning import loop, pseudo_labels
from stages.finetuning.classifier import Classifier
from stages.finetuning.loop import Task
from stages.finetuning.outcome import Outcome
from stages.finetuning.progress import Progress, Validation
from stages.heads import propagation, training
from stages.heads.model_card import ModelCard
from stages.tables import features, prepared

PARAMS = TrainHeadParams(unlabelled="propagate")


class Data(NamedTuple):
    """Where rows come from: the folders, the card of the head, and how many labelled rows may be used."""

    prepared: Path
    features: Path
    card: ModelCard
    budget: BudgetParams


def train(
    first: Classifier,
    task: Task,
    start: Callable[[], Classifier],
    validate: Callable[[Classifier], Validation | None],
    data: Data,
) -> Outcome:
    """Train a network, and if guesses of unlabelled rows help, a second one on labels and on the guesses of the first.

    A run that is killed in the second training resumes there.

    Args:
        start: loads the network that `first` begins as.
        validate: judges the validation rows; None if there are none.

    Returns:
        The second network, or the first where frozen vectors say that guesses do not help (see `propagation`), or
        validation rows that the second is no better.

    Raises:
        HeadstartError: the loss is no longer a number, or rows are missing.
    """
    record = _trial(data)
    if not record.get("is_used"):
        return _outcome(first, loop.train(first, task, lambda: validate(first)), record)
    with ExitStack() as unfinished:
        first_progress = loop.train(first, task, lambda: validate(first), unfinished=unfinished)
        second, second_task = start(), _with_guesses(task, first, data)
        progress = loop.train(second, second_task, lambda: validate(second))
    without, metrics = first_progress.kept_metrics, progress.kept_metrics
    if without:
        record |= {
            "is_used": (metrics["accuracy"], -metrics["log_loss"]) > (without["accuracy"], -without["log_loss"]),
            "validation_accuracy": metrics["accuracy"],
            "validation_accuracy_without": without["accuracy"],
        }
    return _outcome(*(second, progress) if record["is_used"] else (first, first_progress), record)


def _outcome(classifier: Classifier, progress: Progress, record: dict[str, Any]) -> Outcome:
    return Outcome(classifier, classifier, progress, {"unlabelled": record} if record else {}, in_words(record))


def _trial(data: Data) -> dict[str, Any]:
    """Tell by frozen vectors whether guesses help, as train_head does; empty where there is nothing to tell by."""
    train, validation = (features.read(data.features, split, data.budget) for split in ("train", "validation"))
    trial = training.fit(train, validation, PARAMS, training.unlabelled_rows(data.features, PARAMS)).trial
    return trial._asdict() if trial else {}


def _with_guesses(task: Task, teacher: Classifier, data: Data) -> Task:
    """Return the task of the second training: labelled rows, then unlabelled ones."""
    table = prepared.read(data.prepared, prepared.LEARNING)
    table = table.take(propagation.most(np.array(table["id"].to_pylist(), dtype=object)))
    inputs = prepared.inputs(table, data.card.modality, combine=data.card.extract.combine)
    targets = pseudo_labels.targets(teacher, task.inputs, task.y, inputs, task.settings.label_smoothing)
    digest = hashlib.sha256(targets.shares.tobytes() + targets.weights.tobytes()).hexdigest()
    return replace(
        task,
        inputs=[*task.inputs, *inputs],
        y=targets.shares.argmax(axis=1),
        settings=pseudo_labels.recipe(task.settings),
        identity=f"{task.identity} {digest}",  # guesses depend on all that decided the first
        targets=targets,
    )


def in_words(record: dict[str, Any]) -> str:
    """Say what was learned from unlabelled rows, and why."""
    if not record:
        return (
            "nothing was learned from unlabelled rows: there are none, or too few labelled ones to tell if that helps"
        )
    number = counted(record["rows"], "unlabelled row")
    if "validation_accuracy" in record:
        measure, where = "validation_accuracy", "validation accuracy is"
    else:
        measure, where = "log_loss", "by heads on frozen vectors, log loss out of fold is"
    numbers = f"{where} {record[measure]:.3f} with them and {record[f'{measure}_without']:.3f} without"
    return f"{'learned from' if record['is_used'] else 'learned nothing from'} {number}: {numbers}"
