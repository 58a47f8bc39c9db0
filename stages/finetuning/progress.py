"""The record of a run: losses, validation after each epoch, early stopping, and the best weights so far."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from stages.common.errors import HeadstartError, counted
from stages.common.metric_directions import is_higher_better
from stages.finetuning.classifier import Classifier
from stages.finetuning.rows import Rows
from stages.tasks import Task

Metrics = dict[str, float]


class Progress:
    """The record of a run.

    Attributes:
        metrics: names of the validation metrics that are noted: those that compare epochs, and the task's first.
        start: the validation metrics before the first step; empty without validation rows.
        history: one entry for each epoch: `epoch`, `loss` on the training rows, `learning_rate` at its end, and with
            validation rows the `metrics` of these.
        kept: the epoch whose weights are kept; 0 for those before the first step.
        step: the number of steps so far.
        best: the weights that are kept, by name; empty without validation rows.
    """

    def __init__(
        self, classifier: Classifier, validate: Callable[[], Metrics], refit: Callable[[], None], patience: int | None
    ) -> None:
        """
        Args:
            validate: computes `metrics` on the validation rows; empty if there are none.
            refit: sets the classifier layer to the one that is validated and kept.
            patience: the number of epochs without a better score after which training stops.
        """
        self._classifier, self._validate, self._refit, self._patience = classifier, validate, refit, patience
        self._task = classifier.task
        self.metrics = tuple(dict.fromkeys((*self._task.kept_by, self._task.primary)))
        self.start: Metrics = {}
        self.history: list[dict[str, Any]] = []
        self.kept, self.step = 0, 0
        self.best: Mapping[str, Tensor] = {}
        self._losses: list[float] = []  # of the steps of this epoch

    def begin(self) -> None:
        """Validate before the first step."""
        self.start = self._validate()
        if self.start:
            self.best = self._classifier.trained_state()

    def end_step(self, loss: float) -> None:
        """Count a step and note its loss."""
        self.step += 1
        self._losses.append(loss)

    def end_epoch(self, learning_rate: float) -> None:
        """Validate, and keep the weights if they are the best so far."""
        entry: dict[str, Any] = {
            "epoch": len(self.history) + 1,
            "loss": sum(self._losses) / len(self._losses),
            "learning_rate": learning_rate,
        }
        self._losses = []
        if self.start:
            trained = copy.deepcopy(self._classifier.classifier.state_dict())
            self._refit()
            metrics = self._validate()
            entry |= {name: metrics[name] for name in self.metrics}
            if is_better(metrics, self.kept_metrics, self._task):
                self.kept, self.best = entry["epoch"], self._classifier.trained_state()
            self._classifier.classifier.load_state_dict(
                trained
            )  # a refitted layer is validated and kept, never trained
        self.history.append(entry)

    @property
    def kept_metrics(self) -> Metrics:
        """The validation metrics of the weights that are kept; empty without validation rows."""
        return self.history[self.kept - 1] if self.start and self.kept else self.start

    @property
    def is_out_of_patience(self) -> bool:
        """Whether too many epochs in a row were no better."""
        return bool(self.start and self._patience and len(self.history) - self.kept >= self._patience)

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs beside the best weights, for JSON."""
        names = ("step", "start", "history", "kept")
        return {**{name: getattr(self, name) for name in names}, "losses": self._losses}

    def restore(self, state: Mapping[str, Any], best: Mapping[str, Tensor]) -> None:
        """Set the record to the result of `state`, and the best weights."""
        self.step, self.start, self.history, self.kept = (state[name] for name in ("step", "start", "history", "kept"))
        self._losses, self.best = state["losses"], best

    def in_words(self) -> str:
        """Say how the first metric that compares epochs changed, and which epoch is kept."""
        epochs, name = counted(len(self.history), "epoch"), self._task.kept_by[0]
        if not self.start:
            return f"{epochs}, no validation rows"
        digits = ".3f" if self._task.has_classes else ".4g"  # numbers are of any size
        before = f"validation {name.replace('_', ' ')} {self.start[name]:{digits}}"
        if not self.kept:
            verb = "surpassed" if is_higher_better(name) else "undercut"
            return f"{before} was not {verb} in {epochs}: the head and the pretrained weights are kept"
        return f"{before} -> {self.kept_metrics[name]:{digits}} in epoch {self.kept} of {epochs}"

    def finish(self, learning_rate: float) -> None:
        """Give the classifier the weights that are kept: the best, or the last without validation rows.

        Raises:
            HeadstartError: they are not finite.
        """
        if self.start:
            self._classifier.load_state_dict(self.best, strict=False)
        else:
            self.kept = len(self.history)
            self._refit()
        self._classifier.eval()
        if not all(torch.isfinite(parameter).all() for parameter in self._classifier.parameters()):
            raise diverged(self.step, learning_rate)


class DivergedError(HeadstartError):
    """The loss or the weights are no longer finite."""


def diverged(step: int, learning_rate: float) -> DivergedError:
    """Return the error for a loss or weights that are no longer finite."""
    return DivergedError(
        f"fine-tuning diverged at step {step:,} (learning rate of the backbone {learning_rate:.2g}): the loss is no"
        " longer a number; lower finetune.learning_rate"
    )


def validation_metrics(classifier: Classifier, rows: Rows) -> Metrics:
    """Compute the headline metrics of the task; none without rows.

    A row that can have several labels is right if all of them are, at the thresholds of the head.
    """
    task = classifier.task
    return task.headline(rows.y, task.outputs(classifier.scores(rows.inputs))) if rows.inputs else {}


def is_better(metrics: Metrics, others: Metrics, task: Task) -> bool:
    """Tell whether an epoch is better than another: by the first metric of `task.kept_by` that differs."""
    for name in task.kept_by:
        if metrics[name] != others[name]:
            return (metrics[name] > others[name]) == is_higher_better(name)
    return False
