"""Load a trained head as a function from features to probabilities.

A linear head is computed from linear.safetensors, the others by scikit-learn, which takes longer to import than a
hundred thousand rows take to score.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from stages.common.errors import HeadstartError
from stages.heads import linear_layer
from stages.heads.model_card import ModelCard
from stages.tables.features import Matrix

Outputs = Callable[[Matrix], np.ndarray]  # (rows, dim) to the outputs of the head's task, such as probabilities
MAX_BLOCK_ROWS = 16_384  # scored at a time, since products are in float64

Scores = Callable[[Matrix], np.ndarray]  # (rows, dim) to (rows, columns) float64; the task makes outputs of them


def load(folder: Path, card: ModelCard, dim: int) -> Outputs:
    """Load the head as a function that computes its outputs; see `load_scores`."""
    scores = load_scores(folder, card, dim)
    task = card.as_task()
    return lambda X: task.outputs(scores(X))


def load_scores(folder: Path, card: ModelCard, dim: int) -> Scores:
    """Load the head that train_head wrote to `folder`; `card` is its model.json.

    Args:
        dim: dimensions of the features that it will get.

    Raises:
        HeadstartError: the files of the head are missing, damaged, or made for other features.
    """
    layer = linear_layer.read(folder)
    if layer is None and card.task in ("ordinal", "regression"):
        raise HeadstartError(f"{folder / linear_layer.FILE} does not exist; run `dvc repro train_head`")
    if layer is None:
        return _load_estimator(folder, card, dim)
    (weight, bias), columns = layer, card.as_task().columns
    if weight.shape != (columns, dim) or bias.shape != (columns,):
        raise HeadstartError(
            f"{folder / linear_layer.FILE} is a layer of {weight.shape}, but scores and features are"
            f" {(columns, dim)}; run `dvc repro train_head`"
        )
    return _in_blocks(lambda X: finite((np.asarray(X @ weight.T) + bias).astype(np.float64), str(folder)))


def finite(scores: np.ndarray, model: str) -> np.ndarray:
    """Return scores, (rows, labels).

    Raises:
        HeadstartError: one is not finite, as numbers of `model` are damaged or too large.
    """
    if not np.isfinite(scores).all():
        raise HeadstartError(
            f"{model} gives probabilities that are not finite, so its numbers are wrong; run `dvc repro`"
        )
    return scores


def _load_estimator(folder: Path, card: ModelCard, dim: int) -> Scores:
    from stages.heads import persistence

    path = folder / persistence.FILE
    loaded = persistence.load(path, card.labels, card.temperature, card.decisions)
    one = loaded.estimator[0] if isinstance(loaded.estimator, list) else loaded.estimator
    if one.n_features_in_ != dim:
        raise HeadstartError(
            f"{path} is a head of {one.n_features_in_} features, but there are {dim}; run `dvc repro train_head`"
        )
    return _in_blocks(lambda X: finite(loaded.scores(X), str(path)))


def _in_blocks(scores: Scores) -> Scores:
    """Compute the scores of many rows from `MAX_BLOCK_ROWS` at a time, so that little else is in memory."""

    def in_blocks(X: Matrix) -> np.ndarray:
        starts = range(0, max(X.shape[0], 1), MAX_BLOCK_ROWS)
        blocks = (X[start : start + MAX_BLOCK_ROWS].astype(np.float32, copy=False) for start in starts)
        return np.concatenate([scores(block) for block in blocks])

    return in_blocks
