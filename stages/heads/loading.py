"""Probabilities from a trained head: by its linear layer where it has one, else by scikit-learn."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from stages.common.errors import HeadstartError
from stages.heads import linear_layer
from stages.heads.model_card import ModelCard
from stages.tables.features import Matrix


def load(folder: Path, head: ModelCard, dim: int) -> Callable[[Matrix], np.ndarray]:
    """A head as a function from features, (rows, dim), to probabilities of `head.labels`.

    These are (rows, labels) float64, and rows sum to 1.

    Args:
        folder: what train_head wrote, with `head` its model.json.

    Raises:
        HeadstartError: the files of the head are missing, damaged, or made for other features.
    """
    layer = linear_layer.read(folder)
    if layer is None:
        from stages.heads import persistence

        loaded = persistence.load(folder / persistence.FILE, head.labels, head.temperature)
        if loaded.estimator.n_features_in_ != dim:
            raise HeadstartError(
                f"{folder / persistence.FILE} is a head of {loaded.estimator.n_features_in_} features, but there are"
                f" {dim}; run `dvc repro train_head`"
            )
        return loaded.probabilities
    weight, bias = layer
    if weight.shape != (len(head.labels), dim) or bias.shape != (len(head.labels),):
        raise HeadstartError(
            f"{folder / linear_layer.FILE} is a layer of {weight.shape}, but labels and features are"
            f" {(len(head.labels), dim)}; run `dvc repro train_head`"
        )
    return lambda X: softmax(np.asarray(X @ weight.T) + bias)


def logarithm(P: np.ndarray) -> np.ndarray:
    """Scores whose softmax is `P`, for probabilities of 0 too."""
    scores: np.ndarray = np.log(np.maximum(P, np.finfo(np.float64).tiny))
    return scores


def softmax(scores: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, in float64."""
    scores = scores.astype(np.float64)
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    out: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return out
