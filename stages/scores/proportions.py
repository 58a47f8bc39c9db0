"""Intervals and a test for shares of rows that hold for few rows and for shares near 0 and 1."""

import math

import numpy as np
import scipy

Z = 1.959963984540054  # scipy.special.ndtri(0.975)


def cross_validation_spread(folds: int, repeats: int) -> float:
    """Return how many times the variance of a cross-validated share is that of a share of as many test rows.

    Folds share training rows, so their shares are no independent draws: two of them correlate by about 1 / folds, the
    held-out part of the rows. So the variance of a mean over all folds and repeats is that of the share of one fold
    times 1 / folds + (1 - 1 / folds) / (folds x repeats); that of a fold is `folds` times that of all rows.

    Source: Nadeau and Bengio 2003, Inference for the Generalization Error, section 3.
    """
    return 1 + (1 - 1 / folds) / repeats


def interval(hits: float, rows: float) -> tuple[float, float]:
    """Compute the 95 % interval of a share, from the mid-p binomial test.

    It holds the true share in about 95 % of draws; the exact interval, in more than 97 % of draws of few rows. For
    none or all rows it is the exact interval (Clopper and Pearson 1934), since the mid-p one is too short there.

    Source: Lancaster 1961, Significance Tests in Discrete Distributions.

    Args:
        hits: number of rows that count; a fraction where rows count by as much less as they tell less.
        rows: number of all rows.
    """
    brentq, bdtrc, betainc = scipy.optimize.brentq, scipy.special.bdtrc, scipy.special.betainc
    if hits == 0:
        return 0.0, 1 - 0.025 ** (1 / rows)
    if hits == rows:
        return 0.025 ** (1 / rows), 1.0

    def tail(share: float) -> float:
        """Return the probability of more hits, plus half of that of as many."""
        if isinstance(hits, int):
            return float(bdtrc(hits, rows, share) + bdtrc(hits - 1, rows, share)) / 2
        return float(betainc(hits + 1, rows - hits, share) + betainc(hits, rows - hits + 1, share)) / 2

    low, high = (brentq(lambda share, level=level: tail(share) - level, 0, 1) for level in (0.025, 0.975))
    return low, high


def spread_interval(hits: float, rows: int, spread: float) -> tuple[float, float]:
    """Compute the interval of a share whose variance is `spread` times that of independent rows."""
    return interval(round(hits), rows) if spread == 1 else interval(hits / spread, rows / spread)


def wins_and_losses(first: np.ndarray, second: np.ndarray) -> tuple[int, int]:
    """Count the rows that count in the first share only, and in the second only; both shares as (rows,) bool."""
    return int((first & ~second).sum()), int((second & ~first).sum())


def difference_interval(wins: float, losses: float, rows: float) -> tuple[float, float]:
    """Compute the 95 % interval of the difference of two shares on the same rows, from the score test.

    It excludes zero exactly if `mcnemar` is below 0.05.

    Source: Tango 1998, Equivalence Test and Confidence Interval for the Difference in Proportions for the Paired-Sample
    Design.

    Args:
        wins: rows that count in the first share only.
        losses: rows that count in the second share only.
        rows: number of all rows; all three may be fractions, as for `interval`.
    """
    brentq = scipy.optimize.brentq
    low = -1.0 if losses == rows else brentq(lambda d: _score(d, wins, losses, rows) - Z, -1, (wins - losses) / rows)
    high = 1.0 if wins == rows else brentq(lambda d: _score(d, wins, losses, rows) + Z, (wins - losses) / rows, 1)
    return float(low), float(high)


def mcnemar(wins: float, losses: float) -> float:
    """Compute the two-sided p-value of McNemar's test that two models are right equally often on the same rows.

    If they are, a row that only one of them gets right is a throw of a fair coin. Without a correction for continuity,
    which makes the test so cautious with few rows that it hardly ever finds a difference (Fagerland, Lydersen and Laake
    2013, The McNemar Test for Binary Matched-Pairs Data).

    Source: McNemar 1947, Note on the Sampling Error of the Difference between Correlated Proportions.
    """
    return float(scipy.special.chdtrc(1, (wins - losses) ** 2 / (wins + losses))) if wins + losses else 1.0


def _score(difference: float, wins: float, losses: float, rows: float) -> float:
    """Return how many standard errors the observed difference lies above a supposed one; it falls from inf to -inf."""
    distance = wins - losses - rows * difference
    linear = (2 * rows - wins + losses) * difference - wins - losses
    root = math.sqrt(max(linear**2 + 8 * rows * losses * difference * (1 - difference), 0))
    share = (root - linear) / (4 * rows)  # of rows that count in the second share only, if that were the difference
    variance = rows * (2 * share + difference * (1 - difference))
    return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance) if distance else 0.0
