"""Estimate how long a training takes, from its size alone: the same rows and settings give the same minutes everywhere.

The operations of a network are counted, not timed, so a busy machine chooses as an idle one does.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from stages.backbones.encoder import Encoder
from stages.common.params import FinetuneParams

# Floating-point operations per second that are supposed: of two cores without AVX-512, and of a small GPU.
CPU_SPEED, ACCELERATOR_SPEED = 5e10, 5e12
PASSES_OF_A_STEP = 3  # forward, and twice as much backward


class Cost:
    """The work of a network for rows."""

    def __init__(self, encoder: Encoder, inputs: Sequence[Any]) -> None:
        """Count the operations for the row of median length, and suppose that those of others grow with their length.

        Args:
            inputs: of all rows.
        """
        rows = encoder.training_rows(inputs)
        self._lengths = np.array([encoder.length(row) for row in rows])
        median = int(np.argsort(self._lengths, kind="stable")[len(rows) // 2])
        encoder.eval()
        # Random numbers are those of augmentation, and nobody's after it.
        with torch.no_grad(), torch.random.fork_rng(devices=[]), FlopCounterMode(display=False) as counter:
            encoder(encoder.training_batch([rows[median]]))
        speed = CPU_SPEED if encoder.device.type == "cpu" else ACCELERATOR_SPEED
        self._minutes = counter.get_total_flops() / max(int(self._lengths[median]), 1) / speed / 60  # per length

    def encoding(self, rows: np.ndarray) -> float:
        """Estimate the minutes of computing the vectors of rows; `rows`: their indices among the inputs."""
        return float(self._lengths[rows].sum() * self._minutes)

    def training(self, rows: np.ndarray, settings: FinetuneParams) -> float:
        """Estimate the minutes of training all weights on rows, in all epochs."""
        passes: float = PASSES_OF_A_STEP
        if settings.contrastive:
            passes += 2  # the memory, and the rows of the new head
        return settings.epochs * passes * self.encoding(rows)
