"""How often the 95 % intervals of metrics hold the truth, simulated.

    python -m tests.benchmarks.intervals [DRAWS]

Test rows of equally frequent classes; a row is right with the accuracy of its model, and a wrong one goes to any other
class. The second model shares half of the first one's rows and, in the last column, is 0.1 worse. Prints the share of
the draws whose interval holds the metric's value on endless rows. Shares above 0.97 are of few rows that can only be
right or wrong: no interval of such rows comes closer without falling below 0.93 elsewhere.
"""

import sys

import numpy as np

from stages.scores import intervals

ROWS = (10, 25, 50, 200, 1000)
CLASSES = (2, 8, 77)
ACCURACIES = (0.5, 0.9, 0.98, 1.0)
WORSE = 0.1
RESAMPLES = 1000


def predictions(truth: np.ndarray, right: np.ndarray, classes: int, generator: np.random.Generator) -> np.ndarray:
    """Probabilities (rows, classes) that are the highest for the truth where `right`, and else for any other class."""
    other = (truth + generator.integers(1, classes, len(truth))) % classes
    P = np.full((len(truth), classes), 0.1 / classes)
    P[np.arange(len(truth)), np.where(right, truth, other)] += 0.9
    return P


def draw(
    rows: int, classes: int, accuracies: tuple[float, float], generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth and the probabilities of two models; for half of the rows one throw decides for both."""
    truth = generator.integers(0, classes, rows)
    throws = generator.random((2, rows))
    throws[1] = np.where(generator.random(rows) < 0.5, throws[0], throws[1])
    P, Q = (
        predictions(truth, throw < accuracy, classes, generator)
        for throw, accuracy in zip(throws, accuracies, strict=True)
    )
    return truth, P, Q


def coverage(
    rows: int, classes: int, accuracies: tuple[float, float], *, draws: int, resamples: int = RESAMPLES
) -> dict[str, float]:
    """Share of the draws whose interval holds the truth, by metric and of differences.

    With equally frequent classes and errors that go anywhere, macro F1 equals the accuracy on endless rows, and the
    Matthews correlation is accuracy beyond chance.
    """
    generator = np.random.default_rng([rows, classes, *(int(100 * accuracy) for accuracy in accuracies)])
    held: dict[str, int] = {}
    for seed in range(draws):
        truth, P, Q = draw(rows, classes, accuracies, generator)
        single = intervals.for_model(truth, P, resamples=resamples, seed=seed)
        double = intervals.for_difference(truth, P, Q, resamples=resamples, seed=seed)
        for title, ends, value in (
            ("{}", single, accuracies[0]),
            ("{} difference", double, accuracies[0] - accuracies[1]),
        ):
            chance = 1 / classes if ends is single else 0.0
            beyond = (value - chance) / (1 - 1 / classes)
            for name, wanted in (("accuracy", value), ("macro_f1", value), ("matthews_correlation", beyond)):
                low, high = ends.get(name, (-2, 2))  # no interval: all rows have one class
                held[title.format(name)] = held.get(title.format(name), 0) + (low - 1e-9 <= wanted <= high + 1e-9)
    return {name: count / draws for name, count in held.items()}


def main(draws: int) -> None:
    kinds = ("accuracy", "macro_f1", "matthews_correlation")
    names = (*kinds, *(f"{name} difference" for name in kinds))
    print("classes  rows  accuracy  " + "  ".join(names) + "  the same, 0.1 worse")
    for classes in CLASSES:
        for rows in ROWS:
            for accuracy in ACCURACIES:
                equal, worse = (
                    coverage(rows, classes, (accuracy, other), draws=draws) for other in (accuracy, accuracy - WORSE)
                )
                cells = [*(equal[name] for name in names), *(worse[name] for name in names[3:])]
                print(f"{classes:7}  {rows:4}  {accuracy:8}  " + "  ".join(f"{cell:.3f}" for cell in cells), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
