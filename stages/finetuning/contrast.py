"""Supervised contrastive learning against all training rows, for few labels.

Each row is drawn to the other rows of its class and away from all the rest (Khosla et al. 2020, Supervised Contrastive
Learning, equation 2). The rest is not the batch but a memory of every training row's vector, made anew before each
epoch and kept up with the steps, so that the batches may be small and of rows of equal length. A row never helps to
classify itself: what is learned is not the rows by heart, as a classifier of few rows soon does.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from stages.finetuning.classifier import Classifier
from stages.heads import choosing, linear_layer

FAR = -1e9  # a similarity that counts for nothing
C = 10.0  # of the head in the end: cross-validation on rows that the features were fitted to would take too large a one


class Memory:
    """The vectors of all training rows."""

    def __init__(self, encode: Callable[[], np.ndarray], y: Tensor, temperature: float) -> None:
        """
        Args:
            encode: gives the vectors of all rows by the network as it is: (rows, dim).
            y: (rows,) label indices.
        """
        self._encode, self._y, self._temperature = encode, y, temperature
        self.epoch, self.vectors = -1, torch.empty(0)

    def refresh(self, epoch: int) -> None:
        """Make the vectors for `epoch`; nothing where they are there, as in a run that goes on within it."""
        if self.epoch != epoch:
            vectors = torch.from_numpy(self._encode()).to(self._y.device)
            self.epoch, self.vectors = epoch, nn.functional.normalize(vectors, dim=1)

    def losses(self, vectors: Tensor, rows: Tensor) -> Tensor:
        """The loss of each of some rows, (batch,), whose vectors in training are `vectors`, (batch, dim)."""
        z = nn.functional.normalize(vectors.float(), dim=1)
        similarity = z @ self.vectors.T / self._temperature  # (batch, rows)
        itself = rows[:, None] == torch.arange(len(self._y), device=rows.device)
        same = (self._y[rows][:, None] == self._y) & ~itself
        log_share = similarity - similarity.masked_fill(itself, FAR).logsumexp(dim=1, keepdim=True)
        self.vectors = self.vectors.index_copy(0, rows, z.detach())  # a copy: the gradient needs those before
        # A class of a single row has nothing to draw it to.
        return -(log_share * same).sum(dim=1) / same.sum(dim=1).clamp(min=1)


def refit(classifier: Classifier, vectors: np.ndarray, y: np.ndarray) -> None:
    """Set the classifier layer to a logistic head on the vectors, (rows, dim), of the rows with label indices `y`."""
    order = np.array(classifier.labels)
    head, _ = choosing.logistic_head(vectors, order[y], C)
    layer = linear_layer.from_head(head)
    assert layer is not None
    place = [head.labels.index(label) for label in classifier.labels]
    classifier.start_from(layer[0][place], layer[1][place])
