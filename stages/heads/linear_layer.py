"""Read and write linear.safetensors: a linear classifier softmax(X·weightᵀ + bias).

Predicting with it needs no scikit-learn. Fine-tuning starts from the linear layer of a head and writes its own.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import safetensors.numpy

from stages.common.errors import damaged
from stages.heads.arrays import check_floats

if TYPE_CHECKING:
    from stages.heads.head import Head

FILE = "linear.safetensors"


def read(folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Read weight (labels, dim) and bias (labels,); None where the folder has none, since its head is not linear.

    Raises:
        HeadstartError: the file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        tensors = safetensors.numpy.load_file(path)
        return check_floats("weight", tensors["weight"], 2), check_floats("bias", tensors["bias"], 1)
    except Exception as error:  # numpy lacks tensor types, such as bfloat16, for which errors of many types are raised
        raise damaged(path, error) from None


def write(folder: Path, weight: np.ndarray, bias: np.ndarray) -> None:
    """Write weight (labels, dim) and bias (labels,)."""
    tensors = {"weight": np.ascontiguousarray(weight), "bias": np.ascontiguousarray(bias)}
    (folder / FILE).write_bytes(safetensors.numpy.save(tensors))


def from_head(head: "Head") -> tuple[np.ndarray, np.ndarray] | None:
    """Give weight (labels, dim) and bias (labels,) of the layer that computes the head's probabilities.

    The temperature is part of them. None where the head is not linear (knn, mlp).
    """
    if not hasattr(head.estimator, "coef_"):
        return None
    weight = np.atleast_2d(np.asarray(head.estimator.coef_, dtype=np.float64)) / head.temperature
    bias = np.broadcast_to(head.estimator.intercept_, len(weight)) / head.temperature
    if len(head.labels) == 2:
        weight, bias = np.vstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return weight, bias
