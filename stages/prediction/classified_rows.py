"""Classify raw rows with a trained model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages import sources
from stages.common.params import RuntimeParams
from stages.evaluation import explanations
from stages.extraction import rows as vectors
from stages.finetuning import trained_model
from stages.finetuning.trained_model import TrainedModel
from stages.heads.certainty import Known
from stages.heads.model_card import ModelCard
from stages.prediction.own_words import in_own_words
from stages.sources import Row
from stages.tables import images, prepared
from stages.tasks.single import Single


@dataclass(frozen=True)
class ClassifiedRows:
    """What a model says of some rows, in their order.

    Attributes:
        outputs: (rows, …) of the model's task, such as probabilities; NaN where a row cannot be used.
        problems: (rows,) why a row cannot be used; None of one that is classified.
        unfamiliar: (rows,) percentiles of `Known.unfamiliar`, NaN where a row cannot be used; None where the model's
            folder has no training rows to compare with.
        explained: (rows,) JSON of `explanations.explain`, None where a row cannot be used, and of several
            labels per row and of numbers; None if it was not wanted.
    """

    outputs: np.ndarray
    problems: list[str | None]
    unfamiliar: np.ndarray | None
    explained: list[str | None] | None


def load(folder: Path, card: ModelCard, runtime: RuntimeParams) -> TrainedModel:
    """Load the model in `folder`, which looks into the row caches first; see `trained_model.load`."""
    return trained_model.load(folder, card, runtime, vectors.known_vectors)


def ready(row: Row, card: ModelCard) -> Row:
    """Check a row and make it ready as prepare does."""
    return sources.ready(sources.check(row, max_pixels=card.max_pixels or images.MAX_PIXELS), max_side=card.max_side)


def backbone_input(row: Row, card: ModelCard) -> str | bytes | prepared.Pair:
    """Return what the backbone reads of a row."""
    if card.extract.combine == "join":
        return row.content
    assert isinstance(row.content, str) and row.spans
    return prepared.pair(row.content, row.spans)


def classify(
    rows: Sequence[Row],
    card: ModelCard,
    load: Callable[[], TrainedModel],
    *,
    explain: bool,
    known: Known | None = None,
) -> ClassifiedRows:
    """Classify rows that `ready` returned.

    Args:
        load: returns the model; called only where a row can be used.
        explain: whether to explain them too.
        known: the model's training rows, by which unfamiliar rows are told.
    """
    usable = [number for number, row in enumerate(rows) if not row.problem]
    task = card.as_task()
    outputs = task.outputs(np.full((len(rows), task.columns), np.nan))
    explained: list[str | None] | None = [None] * len(rows) if explain else None
    unfamiliar = np.full(len(rows), np.nan) if known else None
    if usable:
        inputs, model = [backbone_input(rows[number], card) for number in usable], load()
        X = model.vectors(inputs)
        outputs[usable] = task.outputs(model.head(X))
        if known and unfamiliar is not None:
            unfamiliar[usable] = known.unfamiliar(X)
        if explained is not None and isinstance(task, Single):
            predicted = task.decisions(outputs[usable]).tolist()
            scores = lambda inputs: task.class_scores(model.scores(inputs))  # noqa: E731
            texts = explanations.explain(inputs, scores, card.modality, predicted)
            for number, text in zip(usable, texts, strict=True):
                explained[number] = text
    return ClassifiedRows(outputs, [row.problem and in_own_words(row.problem) for row in rows], unfamiliar, explained)
