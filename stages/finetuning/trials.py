"""Train on some of the labelled rows and judge on others, to compare ways of training. The test rows stay unseen."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.common.errors import counted
from stages.common.params import FinetuneParams, RuntimeParams, TrainHeadParams
from stages.finetuning import classifier as classifiers
from stages.finetuning import loop
from stages.finetuning.classifier import Classifier
from stages.finetuning.rows import Rows, with_label_names
from stages.heads import choosing, folds, linear_layer, model_card
from stages.heads.folds import Fold
from stages.heads.head import Head
from stages.heads.model_card import ModelCard

MIN_VALIDATION_ROWS = 100  # with fewer, folds of the training rows give a better comparison
FOLDS = 3


@dataclass(frozen=True)
class Comparison:
    """Rows to compare on.

    Attributes:
        rows: training rows, and with enough validation rows these after them.
        splits: one, or one of each fold; empty if there are too few rows.
        name: of the rows that are judged on, for people.
    """

    rows: Rows
    splits: tuple[Fold, ...]
    name: str

    @property
    def judged(self) -> int:
        """How many rows are judged on."""
        return sum(len(split.held_out) for split in self.splits)


def comparison(train: Rows, validation: Rows) -> Comparison:
    """Judge on the validation rows, or if they are few on every training row once, in folds that keep groups whole."""
    count = len(train.y)
    if len(validation.y) >= MIN_VALIDATION_ROWS:
        rows = Rows(
            train.inputs + validation.inputs,
            np.concatenate([train.y, validation.y]),
            train.groups + validation.groups,
            f"{train.digest} {validation.digest}",
        )
        split = Fold(np.arange(count), np.arange(count, len(rows.y)))
        return Comparison(rows, (split,), counted(len(validation.y), "validation row"))
    splits = tuple(folds.split(train.y, FOLDS, groups=train.group_names))
    judged = sum(len(split.held_out) for split in splits)
    return Comparison(train, splits, f"{counted(judged, 'training row')} in {counted(len(splits), 'fold')}")


@dataclass(frozen=True)
class Trials:
    """Heads and trainings on the splits of a comparison.

    Attributes:
        X: (rows, dim) vectors of the pretrained backbone.
        card: of the head, whose labels the rows have.
    """

    compared: Comparison
    X: np.ndarray
    card: ModelCard
    runtime: RuntimeParams

    def head_right(self) -> np.ndarray:
        """Return which of the judged rows the frozen heads get right: (judged,)."""
        parts = []
        for split in self.compared.splits:
            head, names = self._head(split), self._names(split.held_out)
            guess = head.probabilities(self.X[split.held_out]).argmax(axis=1)
            parts.append(np.array(head.labels)[guess] == names)
        return np.concatenate(parts)

    def finetuned_right(self, split: Fold, recipe: FinetuneParams) -> np.ndarray:
        """Fine-tune on the training rows of a split, and return which held-out rows are right: (held out,).

        Raises:
            HeadstartError: the network cannot be trained.
            DivergedError: the loss is no longer a number.
        """
        rows, head = self.compared.rows, self._head(split)
        card = self.card.model_copy(update={"labels": head.labels})
        classifier = self._classifier(split, head, card, recipe)
        inputs = [rows.inputs[row] for row in split.training]
        y = np.searchsorted(head.labels, self._names(split.training))
        classifier.rehearse(inputs, recipe.method)
        if recipe.label_names and card.modality == "text":
            inputs, y = with_label_names(inputs, y, card.labels, combine=card.extract.combine)
        task = loop.Task(
            inputs,
            y,
            recipe,
            self.runtime,
            from_random=card.trained_backbone().weights == "random",
            identity=f"trial {rows.digest} {split.held_out.tolist()} {card.model_dump_json()}",
        )
        # Without validation the last weights are kept: the best ones would be flattered by the rows that chose them.
        loop.train(classifier, task, dict)
        guess = classifier.scores([rows.inputs[row] for row in split.held_out]).argmax(axis=1)
        right: np.ndarray = np.array(head.labels)[guess] == self._names(split.held_out)
        return right

    def _names(self, rows: np.ndarray) -> np.ndarray:
        names: np.ndarray = np.array(self.card.labels)[self.compared.rows.y[rows]]
        return names

    def _head(self, split: Fold) -> Head:
        """Fit a head of the kind and strength of the one that was trained, on the training rows of a split.

        Where the validation rows decided its strength too, it is chosen anew.
        """
        kind, value = self.card.chosen["kind"], self.card.chosen["value"]
        values = self.card.chosen["candidates"] if model_card.saw_validation(self.card) else [value]
        single: dict[str, Any] = {"neighbors": tuple(map(int, values))} if kind == "knn" else {"C": tuple(values)}
        names, groups = self._names(split.training), self.compared.rows.group_names
        settings = TrainHeadParams(kind=kind, **single)
        return choosing.fit(self.X[split.training], names, settings, folds.select(groups, split.training))[0]

    def _classifier(self, split: Fold, head: Head, card: ModelCard, recipe: FinetuneParams) -> Classifier:
        """Load the pretrained backbone with the head of a split as its layer, or a linear one if it is not linear."""
        layer = linear_layer.from_head(head)
        if layer is None:
            layer = choosing.logistic_layer(self.X[split.training], self._names(split.training))
        return classifiers.starting(card, layer, recipe, self.runtime)
