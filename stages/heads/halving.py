"""Leave out candidates of a cross-validation that are clearly worse, after its first fold (successive halving).

Jamieson and Talwalkar 2016, Non-stochastic Best Arm Identification and Hyperparameter Optimization. Here candidates are
compared on the same rows, so few are left: mostly one, or two whose losses are alike.
"""

import numpy as np

from stages.scores import calibration

MAX_ERRORS = 5.0  # standard errors of a difference that may be chance


def survivors(scores: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Tell which candidates are not clearly worse than the best one: (candidates,) bool.

    Args:
        scores: (candidates, rows, labels), of rows that they were not trained on.
        y: (rows,) label indices.
    """
    losses = np.stack([calibration.losses(part, y) for part in scores])  # (candidates, rows)
    excess = losses - losses[losses.mean(axis=1).argmin()]
    return np.asarray(excess.mean(axis=1) <= MAX_ERRORS * excess.std(axis=1) / len(y) ** 0.5)


def completed(values: np.ndarray) -> np.ndarray:
    """Estimate the mean of every candidate over all rows, also of those that were left out: (candidates,).

    A candidate that was left out differs from the first that was not by as much as on the rows that both judged.

    Args:
        values: (candidates, rows), NaN where a candidate did not judge a row.
    """
    judged = ~np.isnan(values)
    whole = values[judged.all(axis=1)][0]
    return np.array(
        [
            own.mean() if rows.all() else whole.mean() + (own[rows] - whole[rows]).mean()
            for own, rows in zip(values, judged, strict=True)
        ]
    )
