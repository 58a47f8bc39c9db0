"""Guess the labels of unlabelled rows by a trained network, for a second network to be trained on them too.

The second starts from the pretrained weights again, and learns from labels and guesses: the probabilities, not the
likeliest label alone, and the less of a guess, the less sure it is (Lee 2013, Pseudo-Label; Xie et al. 2020,
Self-Training with Noisy Student). As in train_head's propagation, guesses join what the network says of a row and what
spreads to it from labelled rows, here along neighbours of the trained network's vectors.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from stages.common.params import FinetuneParams
from stages.finetuning.classifier import Classifier
from stages.finetuning.loss import Targets
from stages.heads import propagation

EPOCHS = 3  # there are many more rows than labels
SHARPNESS = 2.0  # power of the probabilities of a guess, which few labels make too flat
LABEL_WEIGHT = 2.0  # a label counts for so many sure guesses


def recipe(settings: FinetuneParams) -> FinetuneParams:
    """Return the settings of the second training."""
    # The contrastive loss would draw rows of wrong guesses together.
    return settings.model_copy(update={"epochs": EPOCHS, "contrastive": 0.0, "min_steps": 0})


def targets(
    teacher: Classifier, labelled: Sequence[Any], y: np.ndarray, unlabelled: Sequence[Any], smoothing: float
) -> Targets:
    """Give the targets of labelled rows and, after them, of unlabelled ones.

    Args:
        teacher: the trained network.
        labelled: inputs whose label indices are `y`.
        unlabelled: inputs.
        smoothing: share of each label that is spread over all.
    """
    X, others = teacher.encoder.encode(labelled), teacher.encoder.encode(unlabelled)
    layer = teacher.classifier
    P = softmax(others @ layer.weight.detach().cpu().double().numpy().T + layer.bias.detach().cpu().numpy(), axis=1)
    known = np.unique(y)  # a label of validation rows alone is never guessed
    guesses = np.zeros_like(P)
    with threadpool_limits(1), warnings.catch_warnings():  # one thread: the same sums on every run
        warnings.simplefilter("ignore", ConvergenceWarning)  # the steps of propagation are few on purpose
        guesses[:, known] = propagation.guesses(propagation.graph(X, others), y, P[:, known]) ** SHARPNESS
    guesses /= guesses.sum(axis=1, keepdims=True)
    labels = np.eye(P.shape[1])[y] * (1 - smoothing) + smoothing / P.shape[1]
    weights = np.concatenate([np.full(len(y), LABEL_WEIGHT), guesses.max(axis=1) ** SHARPNESS])
    return Targets(np.concatenate([labels, guesses]).astype(np.float32), (weights / weights.mean()).astype(np.float32))
