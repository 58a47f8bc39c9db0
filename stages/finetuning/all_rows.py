"""Train once more on all labelled rows, for `train_head.final: all`: validation rows too, once they chose the epoch."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from stages.common.errors import counted
from stages.common.params import FinetuneParams
from stages.finetuning import loop
from stages.finetuning.classifier import Classifier
from stages.finetuning.loop import Task
from stages.finetuning.outcome import Outcome
from stages.finetuning.progress import Validation
from stages.finetuning.rows import Rows
from stages.heads.model_card import ModelCard, saw_validation


def is_wanted(card: ModelCard, settings: FinetuneParams, validation: Rows) -> bool:
    """Tell whether validation rows are to be trained on: as the head of this model.json was fitted on them.

    A network that learns from unlabelled rows is trained twice as it is, and not on validation rows.
    """
    return saw_validation(card) and bool(validation.inputs) and not settings.unlabelled


def fit(
    first: Classifier,
    task: Task,
    start: Callable[[], Classifier],
    validate: Callable[[Classifier], Validation | None],
    data: tuple[Rows, Rows],
) -> Outcome:
    """Train a network, and another one on the validation rows too, up to the epoch that these chose for the first.

    The learning rate of the second falls as that of the first did: it ends like the network that was chosen, but has
    seen more rows. A run that is killed in the second training resumes there.

    Args:
        start: loads the network that the second one begins as, with a head of all rows. Where no epoch of the first was
            better than the head, this is the result.
        validate: judges the validation rows.
        data: the rows of `task`, where names of labels may be added, and the validation rows.

    Raises:
        HeadstartError: the loss is no longer a number.
    """
    train, validation = data
    with ExitStack() as unfinished:
        progress = loop.train(first, task, lambda: validate(first), unfinished=unfinished)
        second = start()
        if progress.kept:
            everything = replace(
                task,
                inputs=[*task.inputs, *validation.inputs],
                y=np.concatenate([task.y, validation.y]),
                last_epoch=progress.kept,
            )
            loop.train(second, everything)
    record = {"rows": len(train.y) + len(validation.y), "epochs": progress.kept}
    return Outcome(second, first, progress, {"all_rows": record}, in_words(record))


def in_words(record: dict[str, int]) -> str:
    """Say what was trained on all rows."""
    rows = counted(record["rows"], "row")
    if not record["epochs"]:
        return f"the head is that of all {rows}"
    return f"trained again on all {rows}, validation rows too, for {counted(record['epochs'], 'epoch')}"
