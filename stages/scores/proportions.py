"""Intervals and a test for shares of rows that hold for few rows and for shares near 0 and 1."""

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import bdtrc, chdtrc, ndtri

Z = float(ndtri(0.975))


def interval(hits: int, rows: int) -> tuple[float, float]:
    """Compute the 95 % interval of a share, from the mid-p binomial test.

    It holds the true share in about 95 % of draws; the exact interval, in more than 97 % of draws of few rows. For
    none or all rows it is the exact interval (Clopper and Pearson 1934), since the mid-p one is too short there.

    Source: Lancaster 1961, Significance Tests in Discrete Distributions.

    Args:
        hits: number of rows that count.
        rows: number of all rows, at least 1.
    """
    if hits == 0:
        return 0.0, 1 - 0.025 ** (1 / rows)
    if hits == rows:
        return 0.025 ** (1 / rows), 1.0

    def tail(share: float) -> float:
        """Return the probability of more hits, plus half of that of as many."""
        return float(bdtrc(hits, rows, share) + bdtrc(hits - 1, rows, share)) / 2

    low, high = (brentq(lambda share, level=level: tail(share) - level, 0, 1) for level in (0.025, 0.975))
    return low, high


def wins_and_losses(first: np.ndarray, second: np.ndarray) -> tuple[int, int]:
    """Count the rows that count in the first share only, and in the second only; both shares as (rows,) bool."""
    return int((first & ~second).sum()), int((second & ~first).sum())


def difference_interval(wins: int, losses: int, rows: int) -> tuple[float, float]:
    """Compute the 95 % interval of the difference of two shares on the same rows, from the score test.

    It excludes zero exactly if `mcnemar` is below 0.05.

    Source: Tango 1998, Equivalence Test and Confidence Interval for the Difference in Proportions for the Paired-Sample
    Design.

    Args:
        wins: rows that count in the first share only.
        losses: rows that count in the second share only.
        rows: number of all rows, at least 1.
    """
    low = -1.0 if losses == rows else brentq(lambda d: _score(d, wins, losses, rows) - Z, -1, (wins - losses) / rows)
    high = 1.0 if wins == rows else brentq(lambda d: _score(d, wins, losses, rows) + Z, (wins - losses) / rows, 1)
    return float(low), float(high)


def mcnemar(wins: int, losses: int) -> float:
    """Compute the two-sided p-value of McNemar's test that two models are right equally often on the same rows.

    If they are, a row that only one of them gets right is a throw of a fair coin. Without a correction for continuity,
    which makes the test so cautious with few rows that it hardly ever finds a difference (Fagerland, Lydersen and Laake
    2013, The McNemar Test for Binary Matched-Pairs Data).

    Source: McNemar 1947, Note on the Sampling Error of the Difference between Correlated Proportions.
    """
    return float(chdtrc(1, (wins - losses) ** 2 / (wins + losses))) if wins + losses else 1.0


def _score(difference: float, wins: int, losses: int, rows: int) -> float:
    """Return how many standard errors the observed difference lies above a supposed one; it falls from inf to -inf."""
    distance = wins - losses - rows * difference
    linear = (2 * rows - wins + losses) * difference - wins - losses
    root = math.sqrt(max(linear**2 + 8 * rows * losses * difference * (1 - difference), 0))
    share = (root - linear) / (4 * rows)  # of rows that count in the second share only, if that were the difference
    variance = rows * (2 * share + difference * (1 - difference))
    return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance) if distance else 0.0
