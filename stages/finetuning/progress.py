"""What happens between epochs: validation, the history, early stopping, and the best weights so far."""

import copy
from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor

from stages.common.errors import HeadstartError
from stages.finetuning.classifier import Classifier
from stages.finetuning.contrast import Memory

MEMORY = "memory"  # among the weights of a checkpoint
Metrics = dict[str, float]


class Progress(transformers.TrainerCallback):
    """Validates after each epoch and keeps the best weights; also the record of a run.

    Attributes:
        history: one entry for each epoch: `epoch`, `loss` of the training rows, `learning_rate` at its end, and with
            validation rows `accuracy` and `log_loss` on them.
        start: the validation metrics before the first step; empty without validation rows.
        kept: the epoch whose weights are kept; 0 for those of the start.
        step: steps of the optimiser so far.
    """

    def __init__(
        self,
        network: Classifier,
        validate: Callable[[], Metrics],
        *,
        patience: int | None,
        memory: Memory | None,
        refit: Callable[[], None],
    ) -> None:
        """
        Args:
            memory: to refresh before each epoch.
            refit: sets the classifier layer to what is to be validated and kept.
        """
        self._network, self._validate, self._patience = network, validate, patience
        self._memory, self._refit = memory, refit
        self.start = validate()
        self.history: list[dict[str, Any]] = []
        self.kept, self.step = 0, 0
        self._losses: list[float] = []
        self._due = False  # a checkpoint
        self._best: dict[str, Tensor] = self._weights() if self.start else {}
        self._best_score = _score(self.start) if self.start else None

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **of: Any) -> None:
        """Refresh the memory."""
        if self._memory:
            self._memory.refresh(len(self.history))

    def on_step_end(self, args: Any, state: Any, control: Any, **of: Any) -> None:
        """Put a checkpoint off that is due at the end of an epoch: validation belongs to the epoch, and comes first."""
        due, self._due = control.should_save or self._due, False
        control.should_save = due and state.global_step % len(of["train_dataloader"]) != 0
        self._due = due and not control.should_save

    def on_epoch_end(self, args: Any, state: Any, control: Any, **of: Any) -> None:
        """Validate, and stop where nothing got better for long."""
        self.step = state.global_step
        self._end_epoch(control, of["lr_scheduler"])

    def add_loss(self, loss: float) -> None:
        """Note the loss of a step."""
        self._losses.append(loss)

    def state(self, step: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """What `resume` needs, beside the network and the trainer's own state."""
        progress = {"step": step, "start": self.start, "kept": self.kept, "losses": self._losses}
        memory = {MEMORY: self._memory.vectors} if self._memory else {}
        return {**progress, "history": self.history}, {**self._best, **memory}

    def resume(self, progress: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Take up what `state` gave."""
        best = {name: tensor for name, tensor in tensors.items() if name != MEMORY}
        if self._memory:
            self._memory.epoch, self._memory.vectors = len(progress["history"]), tensors[MEMORY]
        self.step, self.start, self.kept = progress["step"], progress["start"], progress["kept"]
        self.history, self._losses, self._best = progress["history"], progress["losses"], best
        if self.start:
            found = self.history[self.kept - 1] if self.kept else self.start
            self._best_score = _score(found)

    def finish(self, learning_rate: float) -> None:
        """Give the network the weights that are kept.

        Raises:
            HeadstartError: they are not numbers.
        """
        if self.start:
            self._network.load_state_dict(self._best, strict=False)
        else:
            self.kept = len(self.history)
            self._refit()
        self._network.eval()
        if not all(torch.isfinite(parameter).all() for parameter in self._network.parameters()):
            raise diverged(self.step, learning_rate)

    def _end_epoch(self, control: Any, scheduler: Any) -> None:
        entry: dict[str, Any] = {
            "epoch": len(self.history) + 1,
            "loss": sum(self._losses) / len(self._losses),
            "learning_rate": scheduler.get_last_lr()[-1],
        }
        self._losses = []
        if self._best_score is not None:
            trained = copy.deepcopy(self._network.classifier.state_dict())
            self._refit()
            found = self._validate()
            entry |= {"accuracy": found["accuracy"], "log_loss": found["log_loss"]}
            if _score(found) > self._best_score:
                self._best_score, self.kept, self._best = _score(found), entry["epoch"], self._weights()
            elif self._patience and entry["epoch"] - self.kept >= self._patience:
                control.should_training_stop = True
            self._network.classifier.load_state_dict(trained)  # what is refitted is scored and kept, not trained on
        self.history.append(entry)

    def _weights(self) -> dict[str, Tensor]:
        """A copy of all that training changes: trained parameters, and running statistics."""
        changing = {name for name, parameter in self._network.named_parameters() if parameter.requires_grad}
        changing |= {name for name, _ in self._network.named_buffers()}
        state = self._network.state_dict()
        return {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in state.items()
            if name in changing
        }


def diverged(step: int, learning_rate: float) -> HeadstartError:
    """The error of a run whose loss or weights are no longer numbers."""
    return HeadstartError(
        f"fine-tuning diverged at step {step:,} (learning rate of the backbone {learning_rate:.2g}): the loss is no"
        " longer a number; lower finetune.learning_rate"
    )


def _score(found: Metrics) -> tuple[float, float]:
    """More is better: accuracy, then log loss where accuracies are equal."""
    return found["accuracy"], -found["log_loss"]
