"""A classifier as linear layers with ReLU between them, which every runtime can compute."""

from pathlib import Path
from typing import TypeAlias

import numpy as np

from stages.common.errors import HeadstartError
from stages.heads import linear_layer
from stages.heads.head import Head
from stages.heads.model_card import ModelCard

Layers: TypeAlias = list[tuple[np.ndarray, np.ndarray]]  # weight (out, in) and bias (out,), first to last


def read(folder: Path, card: ModelCard) -> Layers:
    """Read the classifier of a head or of a fine-tuned model; `tasks` makes probabilities of its outputs.

    Raises:
        HeadstartError: its files are missing or damaged, or it is k-NN, which has no layers.
    """
    layer = linear_layer.read(folder)
    if layer is not None:
        temperature = 1.0 if card.method == "head" else card.temperature  # a head's layer has it in its numbers
        return [(layer[0] / temperature, layer[1] / temperature)]
    from stages.heads import persistence  # not at the top: it imports scikit-learn

    head = persistence.load(folder / persistence.FILE, card.labels, card.temperature, card.decisions)
    if not isinstance(head, Head) or not hasattr(head.estimator, "coefs_"):
        raise HeadstartError(
            f"{folder} holds a k-NN head, which is its training rows and no layers; set train_head.kind to logistic,"
            " linear_svm, ridge or mlp, and run `dvc repro train_head`"
        )
    *hidden, (weight, bias) = [(W.T, b) for W, b in zip(head.estimator.coefs_, head.estimator.intercepts_, strict=True)]
    if len(weight) == 1:  # of two labels, scikit-learn has the second one's score against 0
        weight, bias = np.vstack([np.zeros_like(weight), weight]), np.concatenate([np.zeros_like(bias), bias])
    return [*hidden, (weight / head.temperature, bias / head.temperature)]
