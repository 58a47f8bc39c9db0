"""A classifier as linear layers with ReLU between them, which every runtime can compute."""

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from scipy.linalg import block_diag

from stages.common.errors import HeadstartError
from stages.heads import linear_layer
from stages.heads.head import Head
from stages.heads.model_card import ModelCard
from stages.heads.one_vs_rest_head import OneVsRest

Layers: TypeAlias = list[tuple[np.ndarray, np.ndarray]]  # weight (out, in) and bias (out,), first to last


def read(folder: Path, card: ModelCard) -> Layers:
    """Read the classifier of a head or of a fine-tuned model; `tasks` makes probabilities of its outputs.

    Raises:
        HeadstartError: its files are missing or damaged, or it is k-NN, which has no layers.
    """
    layer = linear_layer.read(folder)
    if layer is not None:
        temperature = np.array(card.decisions.temperatures if card.decisions else card.temperature)
        if card.method == "head":  # whose layer has it in its numbers
            temperature = np.array(1.0)
        return [_divided(*layer, temperature)]
    from stages.heads import persistence  # not at the top: it imports scikit-learn

    head = persistence.load(folder / persistence.FILE, card.labels, card.temperature, card.decisions)
    if isinstance(head, OneVsRest) and isinstance(head.estimator, list):
        return _side_by_side(head)
    if not isinstance(head, Head) or not hasattr(head.estimator, "coefs_"):
        raise HeadstartError(
            f"{folder} holds a k-NN head, which is its training rows and no layers; set train_head.kind to logistic,"
            " linear_svm, ridge or mlp, and run `dvc repro train_head`"
        )
    *hidden, last = _layers(head.estimator)
    if len(last[1]) == 1:  # of two labels, scikit-learn has the second one's score against 0
        last = _against_zero(*last)
    return [*hidden, _divided(*last, np.array(head.temperature))]


def _layers(mlp: Any) -> Layers:
    return [(W.T, b) for W, b in zip(mlp.coefs_, mlp.intercepts_, strict=True)]


def _against_zero(weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.vstack([np.zeros_like(weight), weight]), np.concatenate([np.zeros_like(bias), bias])


def _divided(weight: np.ndarray, bias: np.ndarray, temperature: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide the scores of a layer by one temperature, or by one of every label."""
    return weight / temperature.reshape(-1, 1), bias / temperature


def _side_by_side(head: OneVsRest) -> Layers:
    """Make one network of those of a head's labels: they share the first layer's inputs, and nothing else."""
    order, firsts, lasts = [], [], []
    for labels, one in head.classifiers():
        if hasattr(one, "coefs_"):
            first, last = _layers(one)
        else:  # of a label that all training rows have, or none
            first = np.zeros((0, one.n_features_in_)), np.zeros(0)
            last = np.zeros((1, 0)), np.ravel(one.intercept_)
        order += labels
        firsts.append(first)
        lasts.append(_against_zero(*last) if len(labels) == 2 else last)
    weight, bias = block_diag(*(W for W, _ in lasts)), np.concatenate([b for _, b in lasts])
    back = np.argsort(order)
    hidden = np.vstack([W for W, _ in firsts]), np.concatenate([b for _, b in firsts])
    return [hidden, _divided(weight[back], bias[back], np.array(head.temperatures))]
