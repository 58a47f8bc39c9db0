"""Probabilities from a trained head: by its linear layer where it has one, else by scikit-learn.

Most heads are softmax(X·weightᵀ + bias), which needs no scikit-learn: importing that takes longer than scoring a
hundred thousand rows. The same layer is what fine-tuning starts from.
"""

from pathlib import Path

import numpy as np
import safetensors.numpy

from stages.errors import HeadstartError
from stages.features import Matrix
from stages.model import Model

LINEAR_FILE = "linear.safetensors"


def probabilities(folder: Path, head: Model, X: Matrix) -> np.ndarray:
    """Probability of each of `head.labels`: (rows, labels) float64, rows sum to 1.

    Args:
        folder: what train_head wrote, with `head` its model.json.
        X: (rows, dim) features.

    Raises:
        HeadstartError: the files of the head are missing, damaged, or made for other features.
    """
    layer = read_linear(folder)
    if layer is None:
        from stages import heads

        return heads.load(folder / heads.FILE, head.labels, head.temperature).probabilities(X)
    weight, bias = layer
    if weight.shape != (len(head.labels), X.shape[1]):
        raise HeadstartError(
            f"{folder / LINEAR_FILE} is a layer of {weight.shape}, but labels and features are"
            f" {(len(head.labels), X.shape[1])}; run `dvc repro train_head`"
        )
    return softmax(np.asarray(X @ weight.T) + bias)


def read_linear(folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """The head in `folder` as weight (labels, dim) and bias (labels,); None for a head that is not linear."""
    path = folder / LINEAR_FILE
    if not path.exists():
        return None
    try:
        tensors = safetensors.numpy.load_file(path)
        return tensors["weight"], tensors["bias"]
    except (OSError, KeyError, ValueError, safetensors.SafetensorError) as error:
        raise HeadstartError(f"{path} cannot be read ({error}); run `dvc repro train_head`") from None


def write_linear(folder: Path, weight: np.ndarray, bias: np.ndarray) -> None:
    """Write what `read_linear` reads."""
    tensors = {"weight": np.ascontiguousarray(weight), "bias": np.ascontiguousarray(bias)}
    (folder / LINEAR_FILE).write_bytes(safetensors.numpy.save(tensors))


def softmax(scores: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, in float64."""
    scores = scores.astype(np.float64)
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    out: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return out
