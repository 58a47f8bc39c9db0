"""Measure how many labels suggestions save against a random choice of rows.

    python -m tests.benchmarks.suggest DATA VECTORS [SEEDS] [CASES ...]

DATA holds sst2/ and banking77/, tables of two columns, text and label. VECTORS is a folder that keeps their vectors by
the packaged MiniLM: the first run makes them. Begins with one random training row of every class. Then a head is fitted
as train_head does, with the C that its cross-validation mostly chooses; `choosing.choose`, as in suggest, or chance
names the next rows; and so on. Accuracy is on the rows that are not in train.csv. Differences and shares are means over
seeds with 95 % intervals of paired seeds (Student's t).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from stages.common.params import TrainHeadParams
from stages.heads import choosing as heads
from stages.suggestion import choosing
from tests.benchmarks import arguments
from tests.benchmarks.cross_validation import training_rows, vectors

SETTINGS = TrainHeadParams(C=(10,))
LABELS_PER_CLASS = 20  # of the random choice that is to be matched


class Case(NamedTuple):
    """A data set: rows that are labelled at a time, and how many batches."""

    batch: int
    batches: int
    is_steady: bool  # whether the curve of a seed rises by more than it wobbles, so that one can read off labels


CASES = {"banking77": Case(50, 30, True), "sst2": Case(10, 20, False)}


def curve(X: np.ndarray, y: np.ndarray, pool: np.ndarray, case: Case, seed: int, *, by_chance: bool) -> Iterator[float]:
    """Yield the accuracy on the other rows before and after every batch; `pool`: (training rows,) indices."""
    rng = np.random.default_rng(seed)
    labelled = np.array([rng.choice(pool[y[pool] == label]) for label in np.unique(y)])
    judged = np.setdiff1d(np.arange(len(y)), pool)
    for batch in range(case.batches + 1):
        head, _ = heads.fit(X[labelled], y[labelled], SETTINGS)
        yield float(np.mean(np.array(head.labels)[head.scores(X[judged]).argmax(axis=1)] == y[judged].astype(str)))
        rest = np.setdiff1d(pool, labelled)
        if batch == case.batches:
            return
        if by_chance:
            chosen = rng.choice(len(rest), case.batch, replace=False)
        else:
            margins = head.task.margins(head.outputs(X[rest]))
            chosen = choosing.choose(X[rest], X[labelled], margins, case.batch).rows
        labelled = np.append(labelled, rest[chosen])


def mean(values: np.ndarray) -> str:
    """Write the mean over seeds, (seeds,), with its 95 % interval."""
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values) if len(values) > 1 else float("nan")
    return f"{values.mean():+.3f} ({values.mean() - half:+.3f} to {values.mean() + half:+.3f})"


def measure(data: Path, folder: Path, name: str, seeds: int) -> None:
    """Print the curves of a data set, and the share of labels that suggestions need."""
    X, labels = vectors(data, folder, name)
    y, case = np.unique(labels.astype(str), return_inverse=True)[1], CASES[name]
    pool = training_rows(data, name, len(y))
    chance, suggested = (
        np.array([[*curve(X, y, pool, case, seed, by_chance=by_chance)] for seed in range(seeds)])
        for by_chance in (True, False)
    )
    classes = len(np.unique(y))
    numbers = classes + case.batch * np.arange(case.batches + 1)
    for at in np.unique(np.linspace(1, case.batches, 10).astype(int)):
        difference = mean(suggested[:, at] - chance[:, at])
        print(f"{name}, {numbers[at]:,} labels: chance {chance[:, at].mean():.3f}, suggested {difference}")
    if not case.is_steady:
        return
    goal = LABELS_PER_CLASS * classes
    reached = np.array([np.interp(goal, numbers, row) for row in chance])
    needed = np.array([first_at(numbers, row, target) for row, target in zip(suggested, reached, strict=True)])
    print(
        f"{name}: accuracy {reached.mean():.3f} takes {goal:,} labels by chance; share of them: {mean(needed / goal)}"
    )


def first_at(numbers: np.ndarray, accuracies: np.ndarray, target: float) -> float:
    """Return how many labels it takes to reach the accuracy `target` at two points in a row; inf if it never does."""
    stays = np.minimum(accuracies[:-1], accuracies[1:]) >= target
    return float(numbers[np.argmax(stays)]) if stays.any() else float("inf")


def main() -> None:
    args = arguments.parse(__doc__, data=Path, vectors=Path, seeds=10, cases=[*CASES])
    for name in args.cases:
        measure(args.data, args.vectors, name, args.seeds)


if __name__ == "__main__":
    main()
