"""Supervised contrastive learning against all training rows, for few labels per class.

Each row is drawn to the other rows of its class and away from the rest (Khosla et al. 2020, Supervised Contrastive
Learning, equation 2). Where rows have several labels, a row is drawn to another by the Jaccard similarity of their
labels (as in Lin et al. 2023, An Effective Deployment of Contrastive Learning in Multi-label Text Classification), and
a row without labels to none.

A row is compared not with its batch but with a memory of every training row's vector, which is computed before each
epoch and updated by the steps, so batches may be small and of rows of equal length. A row is never compared with
itself, so the network cannot simply memorise the rows.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from stages.common.params import TrainHeadParams
from stages.finetuning.classifier import Classifier

EXCLUDED = -1e9  # a similarity that adds nothing to a sum of exponentials
# Inverse regularisation of the refitted head. Cross-validation on rows that the features were trained on would choose
# too large a value.
C = 10.0


class Memory:
    """The vectors of all training rows, (rows, dim), each of length 1."""

    def __init__(self, encode: Callable[[], np.ndarray], y: Tensor, temperature: float) -> None:
        """
        Args:
            encode: computes the vectors of all rows with the current network: (rows, dim).
            y: (rows,) label indices, or (rows, labels) bool where a row can have several.
        """
        self._encode, self._temperature = encode, temperature
        self._y = y.float() if y.dim() == 2 else y
        self._epoch, self.vectors = -1, torch.empty(0)

    def refresh(self, epoch: int) -> None:
        """Compute the vectors for `epoch`; do nothing if they are those of this epoch."""
        if self._epoch != epoch:
            vectors = torch.from_numpy(self._encode()).to(self._y.device)
            self._epoch, self.vectors = epoch, nn.functional.normalize(vectors, dim=1)

    def restore(self, epoch: int, vectors: Tensor) -> None:
        """Set the vectors to those that a checkpoint of `epoch` holds."""
        self._epoch, self.vectors = epoch, vectors.to(self._y.device)

    def losses(self, vectors: Tensor, rows: Tensor) -> Tensor:
        """Return the loss of each row of a batch, (batch,), and put its vector into the memory.

        Args:
            vectors: (batch, dim), from the network in training.
            rows: (batch,) indices of the training rows.
        """
        z = nn.functional.normalize(vectors.float(), dim=1)
        similarity = z @ self.vectors.T / self._temperature  # (batch, rows)
        itself = rows[:, None] == torch.arange(len(self._y), device=rows.device)
        weight = _likeness(self._y, rows).masked_fill(itself, 0)
        log_share = similarity - similarity.masked_fill(itself, EXCLUDED).logsumexp(dim=1, keepdim=True)
        self.vectors = self.vectors.index_copy(0, rows, z.detach())  # a copy: the gradient needs the old ones
        total = weight.sum(dim=1)
        # The only row of a class has no row to be drawn to, and a loss of 0.
        return -(log_share * weight).sum(dim=1) / total.masked_fill(total == 0, 1)


def _likeness(y: Tensor, rows: Tensor) -> Tensor:
    """Compute the Jaccard similarity of the labels of a batch to those of all rows: (batch, all rows).

    Where a row has one label it is 1 for the same and 0 for another.

    Args:
        y: (all rows,) label indices, or (all rows, labels) 0 and 1.
        rows: (batch,) indices.
    """
    if y.dim() == 1:
        return (y[rows][:, None] == y).float()
    counts, shared = y.sum(dim=1), y[rows] @ y.T
    return shared / (counts[rows][:, None] + counts - shared).clamp(min=1)


def refit(classifier: Classifier, vectors: np.ndarray, y: np.ndarray) -> None:
    """Set the classifier layer to a logistic head fitted on `vectors`, (rows, dim), and the targets `y` of its task."""
    from stages.heads import training  # not at the top: scikit-learn takes a second to import, and few runs refit

    # One C and a fixed threshold, of which nothing is used, need no cross-validation.
    head, _ = training.fit_targets(vectors, y, classifier.task, TrainHeadParams(C=(C,), threshold=0.5))
    classifier.start_from(*training.layer(head, classifier.task.labels))
