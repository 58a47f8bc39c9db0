"""linear.safetensors: a linear classifier as weight (labels, dim) and bias (labels,), softmax(X·weightᵀ + bias).

Most heads are one, which needs no scikit-learn: importing that takes longer than scoring a hundred thousand rows. The
same layer is what fine-tuning starts from, and what it ends with.
"""

from pathlib import Path

import numpy as np
import safetensors.numpy

from stages.errors import HeadstartError

FILE = "linear.safetensors"


def read(folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Weight (labels, dim) and bias (labels,); None for a head that is not linear.

    Raises:
        HeadstartError: the file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        tensors = safetensors.numpy.load_file(path)
        return tensors["weight"], tensors["bias"]
    except (OSError, KeyError, ValueError, safetensors.SafetensorError) as error:
        raise HeadstartError(f"{path} cannot be read ({error}); run `dvc repro` to write it again") from None


def write(folder: Path, weight: np.ndarray, bias: np.ndarray) -> None:
    """Write what `read` reads."""
    tensors = {"weight": np.ascontiguousarray(weight), "bias": np.ascontiguousarray(bias)}
    (folder / FILE).write_bytes(safetensors.numpy.save(tensors))
