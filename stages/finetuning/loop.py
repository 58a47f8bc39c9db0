"""The fine-tuning recipe as one plain training loop, on accelerate.

The classifier layer starts from the trained head, so training starts where the head ended and does not first destroy
the pretrained features (Kumar et al. 2022, Fine-Tuning can Distort Pretrained Features: LP-FT).
"""

import hashlib
import json
import math
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, broadcast_object_list, set_seed
from torch import Tensor
from tqdm import tqdm

from stages.common import package
from stages.common.params import FinetuneParams, RuntimeParams
from stages.finetuning import batches, checkpoints, contrast, optimizer
from stages.finetuning.batches import Batch, Batches
from stages.finetuning.checkpoints import Checkpoint
from stages.finetuning.classifier import Classifier
from stages.finetuning.loss import Loss, Targets, as_tensor
from stages.finetuning.progress import Progress, Validation, diverged


@dataclass(frozen=True)
class Task:
    """Rows to train on, and how.

    Attributes:
        inputs: (rows,) texts or encoded images.
        y: the targets of the classifier's task, such as (rows,) label indices.
        settings: with numbers in place of `auto`, see `auto_values`.
        from_random: whether the backbone starts from random weights.
        identity: names everything else that decides the result; an identical run resumes from its checkpoints.
        targets: of the rows, in place of the labels `y`.
        last_epoch: after which training ends, with the learning rate of a run through all epochs; None: the last one.
    """

    inputs: Sequence[Any]
    y: np.ndarray
    settings: FinetuneParams
    runtime: RuntimeParams
    from_random: bool
    identity: str
    targets: Targets | None = None
    last_epoch: int | None = None


def train(
    classifier: Classifier,
    task: Task,
    validate: Callable[[], Validation | None] = lambda: None,
    *,
    unfinished: ExitStack | None = None,
) -> Progress:
    """Train `classifier` in place. It ends with the weights that `Progress` keeps, which may be those it started from.

    Args:
        validate: judges the validation rows; None if there are none, and then the weights of the last epoch are kept.
        unfinished: keeps the checkpoints, with one of the end, until it is closed: for a run of several trainings.

    Raises:
        HeadstartError: the loss is no longer a number.
    """
    training = _Training(classifier, task, validate)
    with ExitStack() as finished:
        folder = (unfinished or finished).enter_context(checkpoints.folder(training.key()))
        training.start(folder)
        training.run(folder)
        if unfinished is not None:
            training.write_checkpoint(folder)
        training.accelerator.end_training()  # a process that exits with open connections may abort
    training.progress.finish(float(task.settings.learning_rate))
    return training.progress


class _Training:
    """All parts of a run, and the loop over its steps."""

    def __init__(self, classifier: Classifier, task: Task, validate: Callable[[], Validation | None]) -> None:
        self.classifier, self.task, self.encoder = classifier, task, classifier.encoder
        settings, device = task.settings, self.encoder.device
        self.encoder.prepare_training(settings, from_random=task.from_random)
        if task.runtime.gradient_checkpointing:
            self.encoder.recompute_blocks()
        self.rows = self.encoder.training_rows(task.inputs)
        self.lengths = [self.encoder.length(row) for row in self.rows]
        y = as_tensor(task.y, classifier.task, device)
        self.memory: contrast.Memory | None = None
        if settings.contrastive:
            self.memory = contrast.Memory(self._encode, y, settings.contrastive_temperature)
        self.loss = Loss(y, classifier.task, settings, self.memory, task.targets)

        self.accelerator = _accelerator(device)
        self.batches = Batches(
            self.lengths,
            batch_size=batches.size(settings, len(self.rows) // self.accelerator.num_processes),
            seed=settings.seed,
            process=self.accelerator.process_index,
            processes=self.accelerator.num_processes,
        )
        all_steps = settings.epochs * self.batches.steps_per_epoch
        self.steps = (task.last_epoch or settings.epochs) * self.batches.steps_per_epoch
        # As `encode` does: a layout changes the last bits, and a resumed run trains before it encodes.
        classifier.to(memory_format=torch.channels_last)
        adamw = optimizer.build(classifier, settings)
        self.schedule = optimizer.schedule(adamw, settings, all_steps)
        self.model, self.optimizer = self.accelerator.prepare(classifier, adamw)
        # All processes follow the metrics of the first, so that they stop at the same epoch.
        self.progress = Progress(
            classifier, lambda: broadcast_object_list([validate()])[0], self._refit, settings.patience
        )

    def key(self) -> str:
        """Return a hash of all that decides the result of the run, the code included."""
        task, processes = self.task, self.accelerator.num_processes
        settings = [task.settings.recipe(), task.last_epoch, task.runtime.device]
        parts = [package.digest(), task.identity, *settings, processes]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def start(self, folder: Path) -> None:
        """Start at the newest checkpoint in `folder`, or at the first step."""
        if checkpoint := checkpoints.read_newest(folder):
            self._restore(checkpoint)
            if checkpoints.is_main():
                print(f"finetune: resuming the killed run at step {self.progress.step:,}", file=sys.stderr)
        else:
            self.progress.begin()

    def run(self, folder: Path) -> None:
        """Run the steps that are left, with a checkpoint in `folder` every `runtime.checkpoint_steps`."""
        progress, every = self.progress, self.task.runtime.checkpoint_steps
        if progress.is_out_of_patience:  # the checkpoint is of the end
            return
        hidden = None if checkpoints.is_main() else True  # None: hidden unless on a terminal
        steps = range(progress.step, self.steps)
        with tqdm(total=self.steps, initial=progress.step, desc="finetune", unit=" steps", disable=hidden) as bar:
            for step in steps:
                epoch, position = divmod(step, self.batches.steps_per_epoch)
                if self.memory:
                    self.memory.refresh(epoch)
                progress.end_step(self._step(self.batches.at(step)))
                if position + 1 == self.batches.steps_per_epoch:
                    progress.end_epoch(self.schedule.get_last_lr()[-1])
                    if progress.is_out_of_patience:
                        return
                if every and progress.step % every == 0:
                    self.write_checkpoint(folder)
                bar.update()

    def write_checkpoint(self, folder: Path) -> None:
        """Write a checkpoint after this step, unless the settings want none."""
        if self.task.runtime.checkpoint_steps and checkpoints.is_main():
            epoch = (self.progress.step - 1) // self.batches.steps_per_epoch
            checkpoints.write(folder, self.progress.step, self._checkpoint(epoch))

    def _step(self, batch: Batch) -> float:
        """Train on a batch, and return its loss.

        Raises:
            HeadstartError: the loss is no longer a number.
        """
        set_seed(batch.seed)
        self.model.train()
        loss = 0.0
        passes = self._passes(batch)
        for index, (inputs, rows) in enumerate(passes):
            # Gradients of all passes add up; processes exchange them once, in the last.
            is_last = index == len(passes) - 1
            with nullcontext() if is_last else self.accelerator.no_sync(self.model):
                logits, vectors = self.model(inputs)
                share = self.loss(logits, vectors, rows) * (len(rows) / len(batch.rows))
                self.accelerator.backward(share)
            loss += float(share.detach())
        if not math.isfinite(loss):
            raise diverged(self.progress.step + 1, self.optimizer.param_groups[-1]["lr"])
        self.accelerator.clip_grad_norm_(self.classifier.parameters(), self.task.settings.max_grad_norm)
        self.optimizer.step()
        if not self.accelerator.optimizer_step_was_skipped:  # float16: the gradients overflowed
            self.schedule.step()
        self.optimizer.zero_grad()
        return loss

    def _passes(self, batch: Batch) -> list[tuple[Any, Tensor]]:
        """Cut a batch into passes that fit into memory: the encoder's input, and the indices of its rows."""
        longest = max(self.lengths[row] for row in batch.rows)
        limit = self.task.runtime.rows_per_pass or self.encoder.rows_per_pass(longest)
        return [
            (
                self.encoder.training_batch([self.rows[row] for row in part]),
                torch.from_numpy(part).to(self.encoder.device),
            )
            for part in np.array_split(batch.rows, -(-len(batch.rows) // limit))
        ]

    def _encode(self) -> np.ndarray:
        return self.encoder.encode(self.task.inputs)

    def _refit(self) -> None:
        """Fit the classifier layer anew: the contrastive loss moves the vectors away from it."""
        if self.memory:
            contrast.refit(self.classifier, self._encode(), self.task.y)

    def _checkpoint(self, epoch: int) -> Checkpoint:
        """Return all that `_restore` needs. Random states are not among it: every batch has a seed."""
        tensors, groups = optimizer.state(self.optimizer)
        scaler = self.accelerator.scaler
        return Checkpoint(
            tensors={
                "network": self.classifier.trained_state(),
                "kept": self.progress.weights,
                "validation": {"best": torch.from_numpy(self.progress.best)} if self.progress.start else {},
                "optimizer": tensors,
                "memory": {"vectors": self.memory.vectors} if self.memory else {},
            },
            state={
                "epoch": epoch,
                "progress": self.progress.state(),
                "optimizer": groups,
                "schedule": self.schedule.state_dict(),
                "scaler": scaler.state_dict() if scaler else None,
            },
        )

    def _restore(self, checkpoint: Checkpoint) -> None:
        """Set the run to what `_checkpoint` returned."""
        tensors, state = checkpoint
        self.classifier.load_state_dict(tensors["network"], strict=False)
        best = tensors["validation"].get("best")
        self.progress.restore(state["progress"], tensors["kept"], np.empty(0) if best is None else best.numpy())
        optimizer.restore(self.optimizer, tensors["optimizer"], state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.memory:
            self.memory.restore(state["epoch"], tensors["memory"]["vectors"])
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(state["scaler"])


def _accelerator(device: torch.device) -> Accelerator:
    """Return what runs the network in half precision on a GPU, and on several processes."""
    precision = "no"
    if device.type == "cuda":
        precision = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)  # poolers, for example
    return Accelerator(
        mixed_precision=precision, cpu=device.type == "cpu", device_placement=False, kwargs_handlers=[unused]
    )
