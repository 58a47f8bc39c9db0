"""How often the 95 % intervals of several labels per row hold the truth, simulated.

    python -m tests.benchmarks.row_intervals [DRAWS]

The second model shares half of the first one's rows and is as good. Prints the share of the draws whose interval holds
the metric's value on endless rows, for one model / for the difference of two.
"""

import sys
from collections.abc import Callable

import numpy as np
from scipy.special import expit, ndtri

from stages.scores import bootstrap, multilabel
from stages.scores.row_metrics import RowMetrics

ENDLESS = 200_000
RESAMPLES = 1000
ROWS = (20, 50, 200, 1000)
EVEN = np.full(4, 0.3)
RARE = 0.5 / np.arange(1, 13)  # frequencies of 12 labels, the rarest of 4 %

World = Callable[[int, np.random.Generator], tuple[RowMetrics, RowMetrics]]


def labels(frequencies: np.ndarray, skill: float) -> World:
    """Labels that occur together, and scores whose distance is `skill` standard deviations of their noise.

    Noise is partly of the row: some rows are hard for all labels.
    """

    def draw(rows: int, generator: np.random.Generator) -> tuple[RowMetrics, RowMetrics]:
        noise, common = (_noise(rows, len(frequencies), generator) for _ in range(2))
        Y = _noise(rows, len(frequencies), generator) < ndtri(frequencies)
        middle = skill / 2 + np.log((1 - frequencies) / frequencies) / skill
        first, second = (
            expit(skill * (skill * Y + part - middle))
            for part in (noise, np.where(generator.random((rows, 1)) < 0.5, noise, common))
        )
        return multilabel.row_metrics(Y, first, first >= 0.35), multilabel.row_metrics(Y, second, second >= 0.35)

    return draw


WORLDS = {
    "4 labels, hard": labels(EVEN, 1.5),
    "4 labels, easy": labels(EVEN, 4),
    "12 labels, most rare, hard": labels(RARE, 1.5),
    "12 labels, most rare, easy": labels(RARE, 4),
}


def coverage(world: World, rows: int, *, draws: int, resamples: int = RESAMPLES) -> dict[str, tuple[float, float]]:
    """Share of the draws whose interval holds the truth, of one model and of the difference of two, by metric."""
    truth, other = (model.headline() for model in world(ENDLESS, np.random.default_rng(0)))
    generator = np.random.default_rng(rows)
    held: dict[str, list[tuple[bool, bool]]] = {name: [] for name in truth}
    for seed in range(draws):
        first, second = world(rows, generator)
        single = bootstrap.for_model(first, resamples=resamples, seed=seed)
        double = bootstrap.for_difference(first, second, resamples=resamples, seed=seed)
        for name in truth:  # no interval: the metric is not defined for these rows
            values = (truth[name], truth[name] - other[name])
            ends = (intervals.get(name, (-np.inf, np.inf)) for intervals in (single, double))
            alone, paired = (
                low - 1e-9 <= value <= high + 1e-9 for value, (low, high) in zip(values, ends, strict=True)
            )
            held[name].append((alone, paired))
    return {
        name: (float(np.mean([a for a, _ in pairs])), float(np.mean([b for _, b in pairs])))
        for name, pairs in held.items()
    }


def _noise(rows: int, columns: int, generator: np.random.Generator) -> np.ndarray:
    """Normal noise of variance 1, of which a third is common to the columns of a row."""
    return np.sqrt(1 / 3) * generator.normal(size=(rows, 1)) + np.sqrt(2 / 3) * generator.normal(size=(rows, columns))


def main(draws: int) -> None:
    for title, world in WORLDS.items():
        print(title)
        for rows in ROWS:
            shares = coverage(world, rows, draws=draws)
            cells = [f"{name} {alone:.3f} / {paired:.3f}" for name, (alone, paired) in shares.items()]
            print(f"{rows:6} rows  " + ", ".join(cells), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
