"""The record of a run: losses, validation after each epoch, early stopping, and the weights to keep."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from stages.common.errors import HeadstartError, counted
from stages.common.params import Modality
from stages.finetuning.classifier import Classifier
from stages.finetuning.rows import Rows

Metrics = dict[str, float]

# How many standard errors worse than the best epoch a later one may be. A later epoch of texts has learned more, at a
# lower rate, and the best of several noisy numbers is often so by chance. With photos, later ones are often worse.
TOLERANCE: dict[Modality, float] = {"text": 1.0, "image": 0.0}


class Validation(NamedTuple):
    """How a network does on the validation rows.

    Attributes:
        metrics: the headline metrics of the task.
        losses: (rows,) calibrated, since an epoch may be too sure and still the most often right; see `Task.losses`.
    """

    metrics: Metrics
    losses: np.ndarray


class Progress:
    """The record of a run, and the weights that are kept: of the last epoch that is `no_worse` than the best.

    Attributes:
        start: the validation metrics before the first step; empty without validation rows.
        history: one entry for each epoch: `epoch`, `loss` on the training rows, `learning_rate` at its end, and with
            validation rows the metrics that the task follows.
        kept: the epoch whose weights are kept; 0 for those before the first step.
        step: the number of steps so far.
        weights: those that are kept, by name; empty without validation rows.
        best: the losses of the best epoch so far, as in `Validation`.
    """

    def __init__(
        self,
        classifier: Classifier,
        validate: Callable[[], Validation | None],
        refit: Callable[[], None],
        patience: int | None,
    ) -> None:
        """
        Args:
            validate: judges the validation rows; None if there are none.
            refit: sets the classifier layer to the one that is validated and kept.
            patience: the number of epochs without a better score after which training stops.
        """
        self._classifier, self._validate, self._refit, self._patience = classifier, validate, refit, patience
        self._task = classifier.task
        self.start: Metrics = {}
        self.history: list[dict[str, Any]] = []
        self.kept, self.step = 0, 0
        self.weights: Mapping[str, Tensor] = {}
        self.best = np.empty(0)
        self._best_epoch = 0
        self._losses: list[float] = []  # of the steps of this epoch

    def begin(self) -> None:
        """Validate before the first step."""
        if validation := self._validate():
            self.start, self.best = validation
            self.weights = self._classifier.trained_state()

    def end_step(self, loss: float) -> None:
        """Count a step and note its loss."""
        self.step += 1
        self._losses.append(loss)

    def end_epoch(self, learning_rate: float) -> None:
        """Validate, and keep the weights unless they are worse than the best so far."""
        entry: dict[str, Any] = {
            "epoch": len(self.history) + 1,
            "loss": sum(self._losses) / len(self._losses),
            "learning_rate": learning_rate,
        }
        self._losses = []
        if self.start:
            trained = copy.deepcopy(self._classifier.classifier.state_dict())
            self._refit()
            validation = self._validate()
            assert validation is not None
            entry |= {name: validation.metrics[name] for name in self._task.followed}
            if no_worse(validation.losses, self.best, TOLERANCE[self._classifier.encoder.modality]):
                self.kept, self.weights = entry["epoch"], self._classifier.trained_state()
            if validation.losses.mean() < self.best.mean():
                self._best_epoch, self.best = entry["epoch"], validation.losses
            # A refitted layer is validated and kept, never trained.
            self._classifier.classifier.load_state_dict(trained)
        self.history.append(entry)

    @property
    def kept_metrics(self) -> Metrics:
        """The validation metrics of the weights that are kept; empty without validation rows."""
        return self.history[self.kept - 1] if self.start and self.kept else self.start

    @property
    def is_out_of_patience(self) -> bool:
        """Whether too many epochs in a row were no better."""
        return bool(self.start and self._patience and len(self.history) - self._best_epoch >= self._patience)

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs beside the weights and the best losses, for JSON."""
        names = ("step", "start", "history", "kept")
        own = {"best_epoch": self._best_epoch, "losses": self._losses}
        return {name: getattr(self, name) for name in names} | own

    def restore(self, state: Mapping[str, Any], weights: Mapping[str, Tensor], best: np.ndarray) -> None:
        """Set the record to the result of `state`, the weights that are kept, and the best losses."""
        self.step, self.start, self.history, self.kept = (state[name] for name in ("step", "start", "history", "kept"))
        self._best_epoch, self._losses, self.weights, self.best = state["best_epoch"], state["losses"], weights, best

    def in_words(self) -> str:
        """Say how the task's first metric changed, and which epoch is kept."""
        epochs, name = counted(len(self.history), "epoch"), self._task.primary
        if not self.start:
            return f"{epochs}, no validation rows"
        digits = ".3f" if self._task.has_classes else ".4g"  # numbers are of any size
        before = f"validation {name.replace('_', ' ')} {self.start[name]:{digits}}"
        if not self.kept:
            return f"{before}, and a higher loss after {epochs}: the head and the pretrained weights are kept"
        near = "" if self.kept == self._best_epoch else ", within a standard error of the lowest loss"
        return f"{before} -> {self.kept_metrics[name]:{digits}} in epoch {self.kept} of {epochs}{near}"

    def finish(self, learning_rate: float) -> None:
        """Give the classifier the weights that are kept, without validation rows the last.

        Raises:
            HeadstartError: they are not finite.
        """
        if self.start:
            self._classifier.load_state_dict(self.weights, strict=False)
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


def validation(classifier: Classifier, rows: Rows) -> Validation | None:
    """Judge the validation rows; None if there are none.

    A row that can have several labels is right if all of them are, at the thresholds of the head.
    """
    if not rows.inputs:
        return None
    task, scores = classifier.task, classifier.scores(rows.inputs)
    temperatures, _ = task.calibration(scores, rows.y, "own")
    return Validation(
        task.headline(rows.y, task.outputs(scores)), task.losses(rows.y, task.outputs(scores / temperatures))
    )


def no_worse(losses: np.ndarray, others: np.ndarray, tolerance: float) -> bool:
    """Tell whether losses are in the mean at most so many standard errors of the paired difference above others.

    Both are (rows,), of the same rows. The error is the one around no difference, which a single row has too.
    """
    rises = losses - others
    return bool(rises.sum() <= tolerance * np.sqrt((rises**2).sum()))
