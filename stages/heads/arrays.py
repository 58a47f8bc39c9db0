"""Check arrays that were read from the file of a head."""

from typing import Any

import numpy as np


def check_floats(name: str, array: Any, dimensions: int) -> np.ndarray:
    """Return the array.

    Raises:
        ValueError: it is not an array of finite float32 or float64 in so many dimensions.
    """
    if not isinstance(array, np.ndarray) or array.dtype not in (np.float32, np.float64) or array.ndim != dimensions:
        form = f"{array.dtype} of {array.shape}" if isinstance(array, np.ndarray) else f"a {type(array).__name__}"
        raise ValueError(f"{name} is {form}, not float32 or float64 in {dimensions} dimension{'s' * (dimensions > 1)}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds values that are not finite")
    return array
