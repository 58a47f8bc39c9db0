"""The fine-tuning recipe: train a pretrained encoder and its classifier layer on, through transformers' Trainer.

The classifier layer starts from the trained head, so that training starts where the head ended instead of destroying
the pretrained features first (Kumar et al. 2022, Fine-Tuning can Distort Pretrained Features: LP-FT).
"""

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor, nn
from torch.utils.data import DataLoader

from stages.common.params import FinetuneParams, RuntimeParams
from stages.finetuning import checkpoints, optimizer
from stages.finetuning.batches import Batches
from stages.finetuning.classifier import Classifier
from stages.finetuning.contrast import Memory, refit
from stages.finetuning.progress import Progress, diverged


def train(
    classifier: Classifier,
    inputs: Sequence[Any],
    y: np.ndarray,
    settings: FinetuneParams,
    runtime: RuntimeParams,
    *,
    from_random: bool,
    validate: Callable[[], dict[str, float]],
    run: str,
) -> Progress:
    """Train `classifier` in place on `inputs` and their label indices `y`, both (rows,).

    With validation rows it ends with the weights of the best epoch, which may be those that it started from.

    Args:
        from_random: the weights that training starts from are not pretrained.
        validate: gives `accuracy` and `log_loss` of the classifier on the validation rows; empty where there are none.
        run: names what decides the result beside the settings; the checkpoints of an equal run are gone on with.

    Raises:
        HeadstartError: the method does not fit the backbone, or the loss is no longer a number.
    """
    encoder = classifier.encoder
    encoder.prepare_training(settings, from_random=from_random)
    if runtime.gradient_checkpointing:
        encoder.recompute_blocks()
    rows = encoder.training_rows(inputs)
    lengths = [encoder.length(row) for row in rows]
    labels = torch.from_numpy(y).to(encoder.device)
    weights = _class_weights(y, len(classifier.labels), settings).to(encoder.device)
    memory: Memory | None = None
    if settings.contrastive:
        memory = Memory(lambda: encoder.encode(inputs), labels, settings.contrastive_temperature)

    def losses(scores: Tensor, vectors: Tensor, picked: Tensor) -> Tensor:
        """The loss of each row of a pass: (rows,)."""
        truth = labels[picked]
        smoothing = settings.label_smoothing
        each = nn.functional.cross_entropy(scores.float(), truth, reduction="none", label_smoothing=smoothing)
        if memory:
            each = each + settings.contrastive * memory.losses(vectors, picked)
        return each * weights[truth]

    def collate(batch: list[tuple[list[int], int]]) -> Any:
        """A batch in as many passes as fit into memory: inputs, their rows, and the passes' shares of them."""
        ((picked, seed),) = batch
        most = runtime.rows_per_pass or encoder.rows_per_pass(max(lengths[row] for row in picked))
        passes = np.array_split(picked, -(-len(picked) // most))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # augmentation by chance of its own: batches are made ahead of the steps
            return [
                (
                    encoder.training_batch([rows[row] for row in part]),
                    torch.from_numpy(part).to(encoder.device),
                    len(part) / len(picked),
                )
                for part in passes
            ]

    key = hashlib.sha256(json.dumps([run, settings.model_dump(), str(runtime.device)]).encode()).hexdigest()[:32]
    with checkpoints.folder(key) as folder:
        progress = Progress(
            classifier,
            validate,
            patience=settings.patience,
            memory=memory,
            refit=lambda: refit(classifier, encoder.encode(inputs), y) if memory else None,
        )
        trainer = _Trainer(
            progress,
            losses,
            model=classifier,
            args=_arguments(folder, settings, runtime, encoder.device),
            train_dataset=Batches(lengths, batch_size=settings.batch_size, seed=settings.seed),
            data_collator=collate,
            optimizers=(optimizer.build(classifier, settings), None),
            callbacks=[progress],
        )
        trainer.remove_callback(transformers.PrinterCallback)
        checkpoint = checkpoints.latest(folder)
        if checkpoint:
            progress.resume(*checkpoints.read_progress(checkpoint))
            print(f"finetune: goes on from step {progress.step:,} of a run that was killed", file=sys.stderr)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        trainer.accelerator.end_training()  # a process that ends with its connections open may abort
    progress.finish(settings.learning_rate)
    return progress


class _Trainer(transformers.Trainer):
    optimizer: torch.optim.Optimizer

    def __init__(self, progress: Progress, losses: Callable[[Tensor, Tensor, Tensor], Tensor], **options: Any) -> None:
        """`losses`: from the scores, vectors and rows of a pass to the loss of each row."""
        super().__init__(**options)
        self._progress = progress
        self._losses: Callable[..., Tensor] = losses

    def get_train_dataloader(self) -> Any:
        """The data set is of whole batches, in the order of its epoch."""
        batches: Any = self.train_dataset
        return self.accelerator.prepare(DataLoader(batches, batch_size=1, shuffle=False, collate_fn=self.data_collator))

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """One batch, in passes whose gradients add up."""
        model.train()
        total = torch.zeros(())
        for batch, rows, share in inputs:
            with self.compute_loss_context_manager():
                loss = self._losses(*model(batch), rows).mean() * share
            self.accelerator.backward(loss)
            total = total + loss.detach().to("cpu")
        if not torch.isfinite(total):
            raise diverged(self.state.global_step + 1, self.optimizer.param_groups[-1]["lr"])
        self._progress.add_loss(float(total))
        return total

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Convolutions lie channels last, which safetensors does not write."""
        network: Any = self.model
        state = network.state_dict() if state_dict is None else state_dict
        super()._save(output_dir, {name: tensor.contiguous() for name, tensor in state.items()})

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            written = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
            checkpoints.write_progress(written, *self._progress.state(self.state.global_step))


def _arguments(
    folder: Path, settings: FinetuneParams, runtime: RuntimeParams, device: torch.device
) -> transformers.TrainingArguments:
    on_gpu = device.type == "cuda"
    bfloat16 = on_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
    return transformers.TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=1,  # an item of the data set is a batch
        warmup_steps=settings.warmup,  # below 1: a share of all steps
        lr_scheduler_type="linear",
        max_grad_norm=settings.max_grad_norm,
        seed=settings.seed,
        bf16=bfloat16,
        fp16=on_gpu and not bfloat16,
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=False,  # the collator already puts the batch on the device
        remove_unused_columns=False,
        ddp_find_unused_parameters=True,  # poolers, for example
        save_strategy="steps" if runtime.checkpoint_steps else "no",
        save_steps=runtime.checkpoint_steps or 1,
        save_total_limit=2,  # the older one is whole while the newer one is written
        logging_strategy="no",
        report_to="none",
        disable_tqdm=not sys.stderr.isatty(),
    )


def _class_weights(y: np.ndarray, labels: int, settings: FinetuneParams) -> Tensor:
    """The weight of each label's rows, 1 in the mean over all rows: (labels,)."""
    if settings.class_weight is None:
        return torch.ones(labels)
    counts = np.bincount(y, minlength=labels)
    return torch.from_numpy(len(y) / (np.maximum(counts, 1) * (counts > 0).sum())).float()
