"""95 % intervals of metrics, and of their differences between two models on the same rows, that hold for few rows.

Everywhere, `truth` is (rows,) label indices and `P` is (rows, labels) probabilities. `spread` is how many times the
variance is that of test rows, as `proportions.cross_validation_spread` gives it: intervals are longer by its root.
`python -m tests.benchmarks.intervals` simulates how often they hold the truth.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from stages.scores import bootstrap, class_metrics, metrics, proportions

Intervals = bootstrap.Intervals

BLOCK_VALUES = 2**24  # row weights in memory at a time
MAX_RESAMPLED_ROWS = 10_000  # that are drawn one by one; of more, groups of rows of nearly the same loss
RESAMPLED_GROUPS = 1_000


def for_model(
    truth: np.ndarray,
    P: np.ndarray,
    *,
    resamples: int,
    seed: int,
    point: Mapping[str, float] | None = None,
    spread: float = 1,
) -> Intervals:
    """Compute the interval of every headline metric; none if `resamples` is 0.

    Accuracy and those of the top labels: of a share (`proportions.interval`). The metrics of classes: by
    `class_metrics.draws`. The others: by a bootstrap.

    Args:
        point: the headline metrics, where they are known already: of P, or means over several like P.
    """
    if not resamples:
        return {}
    generator, point = np.random.default_rng(seed), point or metrics.headline(truth, P)
    guess = P.argmax(axis=1)
    (draws,) = class_metrics.draws(truth, [guess], P.shape[1], samples=resamples, generator=generator)
    if spread != 1:
        draws = _moved(draws, metrics.headline(truth, P), point)
    accuracy = proportions.spread_interval(point["accuracy"] * len(truth), len(truth), spread)
    ends: Intervals = {}
    for name, (low, high) in _like_accuracy(draws, point, accuracy).items():
        lowest = metrics.LOWEST.get(name, 0.0)
        ends[name] = (max(low, lowest), min(high, 1.0))
        if point[name] in (lowest, 1):  # nothing seen speaks against it
            ends[name] = (low, 1.0) if point[name] == 1 else (lowest, high)
    for name in metrics.in_top(truth, P):
        ends[name] = proportions.spread_interval(point[name] * len(truth), len(truth), spread)
    others = _bootstrap(truth, [P], resamples, generator)
    if spread != 1:
        others = _spread_out(others, metrics.headline(truth, P), point, spread)
        others = {
            name: (max(low, 0.0), high if name == "log_loss" else min(high, 1.0))
            for name, (low, high) in others.items()
        }
    return ends | others


def for_difference(
    truth: np.ndarray,
    P: np.ndarray,
    Q: np.ndarray,
    *,
    resamples: int,
    seed: int,
    points: tuple[Mapping[str, float], Mapping[str, float]] | None = None,
    wins_losses: tuple[float, float] | None = None,
    spread: float = 1,
) -> Intervals:
    """Compute the interval of the difference of every headline metric, P's minus Q's; none if `resamples` is 0.

    Rows that are hard for both models cancel out. For accuracy the interval excludes zero exactly if the p-value of
    `proportions.mcnemar` is below 0.05.

    Args:
        points: the headline metrics of both, where they are known already; as `point` of `for_model`.
        wins_losses: what `wins_and_losses` returns, where it is known already, divided by `spread`.
    """
    if not resamples:
        return {}
    generator = np.random.default_rng(seed)
    first, second = points or (metrics.headline(truth, P), metrics.headline(truth, Q))
    guesses = [part.argmax(axis=1) for part in (P, Q)]
    draws, others = class_metrics.draws(truth, guesses, P.shape[1], samples=resamples, generator=generator)
    wins, losses = wins_losses or (count / spread for count in wins_and_losses(truth, P, Q))
    accuracy = proportions.difference_interval(wins, losses, len(truth) / spread)
    differences = _differences(first, second)
    ends: Intervals = {}
    drawn = {name: draws[name] - others[name] for name in draws}
    current = _differences(metrics.headline(truth, P), metrics.headline(truth, Q)) if spread != 1 else differences
    drawn = _moved(drawn, current, differences) if spread != 1 else drawn
    for name, (low, high) in _like_accuracy(drawn, differences, accuracy).items():
        largest = 1 - metrics.LOWEST.get(name, 0.0)
        ends[name] = (max(low, -largest), min(high, largest))
    tops = [metrics.in_top(truth, part) for part in (P, Q)]
    rest: Intervals = {
        name: proportions.difference_interval(*proportions.wins_and_losses(is_in, tops[1][name]), len(truth))
        for name, is_in in tops[0].items()
    }
    rest |= _bootstrap(truth, [P, Q], resamples, generator)
    if spread != 1:
        rest = _spread_out(rest, current, differences, spread)
    return ends | rest


def _differences(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    return {name: first[name] - second[name] for name in first if name in second}


def _moved(
    draws: Mapping[str, np.ndarray], current: Mapping[str, float], point: Mapping[str, float]
) -> dict[str, np.ndarray]:
    """Move draws about the metrics `current` to `point`; what either does not define stays."""
    return {name: values + point.get(name, 0) - current.get(name, point.get(name, 0)) for name, values in draws.items()}


def _spread_out(ends: Intervals, current: Mapping[str, float], point: Mapping[str, float], spread: float) -> Intervals:
    """Lengthen the intervals about the metrics `current` by the root of `spread`, and move them to `point`."""
    root = math.sqrt(spread)
    return {
        name: (point[name] + root * (low - current[name]), point[name] + root * (high - current[name]))
        for name, (low, high) in ends.items()
    }


def wins_and_losses(truth: np.ndarray, P: np.ndarray, Q: np.ndarray) -> tuple[int, int]:
    """Count the rows that only the first model gets right, and those that only the second gets right."""
    return proportions.wins_and_losses(P.argmax(axis=1) == truth, Q.argmax(axis=1) == truth)


def _like_accuracy(
    draws: Mapping[str, np.ndarray], point: Mapping[str, float], accuracy: tuple[float, float]
) -> Intervals:
    """Take the middle 95 % of the draws of every metric, lengthened as much as accuracy's needs for its known interval.

    An interval holds the metric of the test rows, too, which rows of unseen classes can put outside of it.

    Args:
        draws: metric to draws of it; accuracy is one of them.
        point: the metrics of the test rows; what they do not define gets no interval.
        accuracy: its interval, which is known to hold the truth as often as it says.
    """
    low, middle, high = np.quantile(draws["accuracy"], (0.025, 0.5, 0.975))
    longer = [max((end - middle) / (drawn - middle), 1) for end, drawn in zip(accuracy, (low, high), strict=True)]
    ends: Intervals = {}
    for name, values in draws.items():
        if name not in point:
            continue
        low, middle, high = np.quantile(values, (0.025, 0.5, 0.975))
        low, high = (middle + factor * (drawn - middle) for factor, drawn in zip(longer, (low, high), strict=True))
        ends[name] = (float(min(low, point[name])), float(max(high, point[name])))
    return ends | {"accuracy": accuracy}


def _bootstrap(
    truth: np.ndarray, models: Sequence[np.ndarray], resamples: int, generator: np.random.Generator
) -> Intervals:
    """Compute the intervals of log_loss and, for two labels, of roc_auc and average_precision.

    Those of two models are of P - Q.
    """
    by_class = [np.flatnonzero(truth == label) for label in (0, 1)]
    is_ranked = models[0].shape[1] == 2 and all(map(len, by_class))
    loss, shares = _grouped(_minus([metrics.losses(truth, P) for P in models]))  # both (rows or groups,)
    block = max(BLOCK_VALUES // (len(truth) if is_ranked else len(loss)), 1)
    parts: dict[str, list[np.ndarray]] = {}
    for done in range(0, resamples, block):
        samples = min(block, resamples - done)
        counts = generator.multinomial(len(truth), shares, size=samples)
        parts.setdefault("log_loss", []).append(counts.astype(np.float64) @ loss / len(truth))
        if is_ranked:  # within the classes, so that both are there
            weights = _resample(by_class, samples, generator)
            ranked = [metrics.ranking(truth, P, weights) for P in models]
            for name in ranked[0]:
                parts.setdefault(name, []).append(_minus([values[name] for values in ranked]))
    levels = bootstrap.levels(len(truth))
    out: Intervals = {}
    for name, values in parts.items():
        low, high = np.quantile(np.concatenate(values), levels)
        out[name] = (float(low), float(high))
        if name != "log_loss" and low == high:  # perfect, as far as the smaller class can tell
            unseen = 1 - proportions.interval(smaller := min(map(len, by_class)), smaller)[0]
            out[name] = (float(low) - unseen, 1.0 if len(models) == 1 else float(high) + unseen)
    return out


def _grouped(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide many values into groups of nearly equal ones, which are drawn as one: their means, and shares of the rows.

    Nearly all of their variance is between so many groups.
    """
    if len(values) <= MAX_RESAMPLED_ROWS:
        return values, np.full(len(values), 1 / len(values))
    groups = np.array_split(np.sort(values), RESAMPLED_GROUPS)
    return np.array([group.mean() for group in groups]), np.array([len(group) / len(values) for group in groups])


def _resample(groups: Sequence[np.ndarray], samples: int, generator: np.random.Generator) -> np.ndarray:
    """Count how often every row is drawn, with replacement within its group of row indices: (samples, rows)."""
    weights = np.zeros((samples, sum(map(len, groups))))
    for rows in groups:
        weights[:, rows] = generator.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=samples)
    return weights


def _minus(values: Sequence[np.ndarray]) -> np.ndarray:
    """Return the values of one model, or the difference of those of two."""
    return values[0] - values[1] if len(values) == 2 else values[0]
