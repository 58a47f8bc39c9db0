"""The 95 % interval of a mean over rows, by Student's t."""

import math

import numpy as np
from scipy.special import stdtrit


def interval(values: np.ndarray, spread: float, *, lowest: float = 0.0) -> tuple[float, float]:
    """Compute the interval of the mean of rows; of one row, the value itself.

    Args:
        values: (rows,)
        spread: how many times the variance is that of test rows, as in intervals.py.
        lowest: that a mean can be.
    """
    mean, rows = float(values.mean()), len(values)
    if rows < 2:
        return mean, mean
    width = float(stdtrit(rows - 1, 0.975)) * float(values.std(ddof=1)) * math.sqrt(spread / rows)
    return max(mean - width, lowest), mean + width
