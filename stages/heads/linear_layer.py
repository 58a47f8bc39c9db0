"""Read and write linear.safetensors: a linear classifier, softmax(X·weightᵀ + bias), or sigmoid for several labels.

Predicting with it needs no scikit-learn. Fine-tuning starts from the linear layer of a head and writes its own.
"""

from pathlib import Path

import numpy as np
import safetensors.numpy

from stages.common.errors import damaged
from stages.heads.arrays import check_floats

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
