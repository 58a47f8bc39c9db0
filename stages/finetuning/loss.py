"""The loss of training: weighted cross-entropy, and the contrastive loss if it is asked for."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from stages.common.params import FinetuneParams
from stages.finetuning.contrast import Memory


class Targets(NamedTuple):
    """What a network is to say of rows, and how much that counts.

    Attributes:
        shares: (rows, labels) that sum to 1.
        weights: (rows,), 1 on average.
    """

    shares: np.ndarray
    weights: np.ndarray


class Loss:
    """The mean loss over the rows of a pass."""

    def __init__(
        self,
        y: Tensor,
        class_weights: Tensor,
        settings: FinetuneParams,
        memory: Memory | None,
        targets: Targets | None = None,
    ) -> None:
        """
        Args:
            y: (rows,) label indices of all training rows.
            class_weights: (labels,), see `class_weights`.
            memory: for the contrastive loss.
            targets: of all training rows, in place of their labels.
        """
        self._y, self._class_weights = y, class_weights.to(y.device)
        self._settings, self._memory = settings, memory
        self._targets = targets and tuple(torch.from_numpy(part).to(y.device) for part in targets)

    def __call__(self, logits: Tensor, vectors: Tensor, rows: Tensor) -> Tensor:
        """Return the mean loss of a pass.

        Args:
            logits: (batch, labels).
            vectors: (batch, dim), the encoder's.
            rows: (batch,) indices of the training rows.
        """
        truth, smoothing = self._y[rows], self._settings.label_smoothing
        if self._targets:
            shares, weights = (part[rows] for part in self._targets)
            losses = nn.functional.cross_entropy(logits.float(), shares, reduction="none") * weights
        else:
            losses = nn.functional.cross_entropy(logits.float(), truth, reduction="none", label_smoothing=smoothing)
        if self._memory:
            losses = losses + self._settings.contrastive * self._memory.losses(vectors, rows)
        return (losses * self._class_weights[truth]).mean()


def class_weights(y: np.ndarray, labels: int, settings: FinetuneParams) -> Tensor:
    """Return the weight of each label, (labels,), so that the mean over all rows is 1."""
    if settings.class_weight is None:
        return torch.ones(labels)
    counts = np.bincount(y, minlength=labels)
    return torch.from_numpy(len(y) / (np.maximum(counts, 1) * (counts > 0).sum())).float()
