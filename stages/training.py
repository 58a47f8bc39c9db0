"""The fine-tuning recipe: train a pretrained encoder and its classifier layer on, through transformers' Trainer.

The classifier layer starts from the trained head, so that training starts where the head ended instead of destroying
the pretrained features first (Kumar et al. 2022, Fine-Tuning can Distort Pretrained Features: LP-FT).
"""

import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn

from stages.backbones.classifier import Classifier
from stages.errors import HeadstartError
from stages.params import FinetuneParams


def train(
    classifier: Classifier, inputs: Sequence[Any], y: np.ndarray, settings: FinetuneParams, *, from_random: bool
) -> int:
    """Train `classifier` in place on `inputs` and their label indices `y`, both (rows,).

    Args:
        from_random: the weights that training starts from are not pretrained.

    Returns:
        The number of optimiser steps.

    Raises:
        HeadstartError: the weights are no longer numbers at the end.
    """
    encoder = classifier.encoder
    encoder.prepare_training(settings, from_random=from_random)
    rows = [{"input": row, "y": int(each)} for row, each in zip(encoder.training_rows(inputs), y, strict=True)]

    def collate(batch: list[dict[str, Any]]) -> dict[str, Any]:
        labels = torch.tensor([row["y"] for row in batch], device=encoder.device)
        return {"batch": encoder.training_batch([row["input"] for row in batch]), "labels": labels}

    with tempfile.TemporaryDirectory(prefix="headstart-") as folder:
        arguments = transformers.TrainingArguments(
            output_dir=folder,
            num_train_epochs=settings.epochs,
            per_device_train_batch_size=settings.batch_size,
            warmup_steps=settings.warmup,  # below 1: a share of all steps
            lr_scheduler_type="linear",
            max_grad_norm=1.0,
            seed=settings.seed,
            use_cpu=encoder.device.type == "cpu",
            dataloader_pin_memory=False,  # the collator already puts the batch on the device
            remove_unused_columns=False,
            # Batch normalisation cannot learn from a single row.
            dataloader_drop_last=len(rows) > 1 == len(rows) % settings.batch_size,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=not sys.stderr.isatty(),
        )
        trainer = transformers.Trainer(
            model=classifier,
            args=arguments,
            train_dataset=rows,
            data_collator=collate,
            optimizers=(_optimizer(classifier, settings), None),
        )
        trainer.remove_callback(transformers.PrinterCallback)
        steps: int = trainer.train().global_step
    classifier.eval()
    if not all(torch.isfinite(parameter).all() for parameter in classifier.parameters()):
        raise HeadstartError(
            f"fine-tuning diverged within {steps} steps at finetune.learning_rate {settings.learning_rate:g}; lower it"
        )
    return steps


def _optimizer(classifier: Classifier, settings: FinetuneParams) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019): encoder and classifier layer at rates of their own, no decay on biases."""

    def groups(module: nn.Module, rate: float) -> list[dict[str, Any]]:
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        return [
            {
                "params": [each for each in parameters if each.ndim > 1],
                "lr": rate,
                "weight_decay": settings.weight_decay,
            },
            {"params": [each for each in parameters if each.ndim <= 1], "lr": rate, "weight_decay": 0.0},
        ]

    return torch.optim.AdamW(
        groups(classifier.encoder, settings.learning_rate) + groups(classifier.classifier, settings.head_learning_rate)
    )
