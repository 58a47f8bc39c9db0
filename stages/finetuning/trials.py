"""Train on some of the labelled rows and judge on others, to compare ways of training. The test rows stay unseen."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.common.errors import counted
from stages.common.params import FinetuneParams, RuntimeParams, TrainHeadParams
from stages.finetuning import classifier as classifiers
from stages.finetuning import loop
from stages.finetuning.rows import Rows, with_label_names
from stages.heads import folds, training
from stages.heads.folds import Fold
from stages.heads.model_card import ModelCard, saw_validation
from stages.heads.training import AnyHead
from stages.tasks import Task

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
    """Judge on the validation rows, or if they are few on every training row once, in folds that keep groups whole.

    Folds are alike in classes, in the rarest of several labels of a row, or in numbers.
    """
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
    if are_classes := train.y.dtype.kind != "f":
        strata = train.y if train.y.ndim == 1 else folds.rarest(train.y)
    else:
        strata = folds.number_strata(train.y)
    splits = tuple(folds.split(strata, FOLDS, groups=train.group_names, are_classes=are_classes))
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

    def head_values(self) -> np.ndarray:
        """Return what the task's first metric is the mean of, for the frozen heads on the judged rows: (judged,)."""
        parts = []
        for split in self.compared.splits:
            head = self._head(split)
            parts.append(self._values(head.task, head.outputs(self.X[split.held_out]), split))
        return np.concatenate(parts)

    def finetuned_values(self, split: Fold, recipe: FinetuneParams) -> np.ndarray:
        """Fine-tune on the training rows of a split, and return the values of held-out rows, (held out,).

        Args:
            recipe: settings that mean something for the rows, with numbers in place of `auto`; see `auto_values`.

        Raises:
            HeadstartError: the network cannot be trained.
            DivergedError: the loss is no longer a number.
        """
        rows, head = self.compared.rows, self._linear_head(split)
        card, layer = self.card.with_task(head.task), head.layer()
        assert layer is not None
        classifier = classifiers.starting(card, layer, recipe, self.runtime)
        inputs = [rows.inputs[row] for row in split.training]
        y = head.task.targets(self._names(split.training))
        classifier.rehearse(inputs, recipe.method)
        if recipe.label_names:
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
        loop.train(classifier, task)
        scores = classifier.scores([rows.inputs[row] for row in split.held_out])
        return self._values(head.task, head.task.outputs(scores), split)

    def _values(self, task: Task, outputs: np.ndarray, split: Fold) -> np.ndarray:
        """Compute the values of held-out rows, (held out,); `task`: of a head of the split."""
        return task.row_values(task.targets(self._names(split.held_out)), outputs)

    def _names(self, rows: np.ndarray) -> np.ndarray:
        return self.card.as_task().written(self.compared.rows.y[rows])

    def _head(self, split: Fold) -> AnyHead:
        """Fit a head of the kind and strength of the one that was trained, on the training rows of a split.

        Where the validation rows decided its strength too, it is chosen anew.
        """
        chosen = self.card.chosen
        values = chosen["candidates"] if saw_validation(self.card) else {*chosen.get("by_label", [chosen["value"]])}
        parameter = {"neighbors": tuple(map(int, values))} if chosen["kind"] == "knn" else {"C": tuple(sorted(values))}
        return self._fit(split, kind=chosen["kind"], **parameter)

    def _linear_head(self, split: Fold) -> AnyHead:
        """Fit a head as `_head`, or a logistic one if that is not linear."""
        head = self._head(split)
        return self._fit(split) if head.layer() is None else head

    def _fit(self, split: Fold, **settings: Any) -> AnyHead:
        rows, y = self.compared.rows, self.compared.rows.y[split.training]
        params = TrainHeadParams(**settings, threshold=self.card.threshold)
        groups = folds.select(rows.group_names, split.training)
        return training.fit_targets(self.X[split.training], y, self.card.as_task(), params, groups)[0]
