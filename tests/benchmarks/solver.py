"""Measure sweeps over C by scikit-learn's logistic regression, with and without warm_start, against our L-BFGS.

    python -m tests.benchmarks.solver TRAIN.csv [ROUNDS]

TRAIN.csv has columns `text` and `label`. Its features are those of the packaged MiniLM, extracted first (minutes, not
timed). Dense features of BANKING77's shape are made up, too. Sweeps over C = 0.1, 1, 10, 100 run in turns,
in float32 on one thread, ROUNDS (3) times. Prints for every shape the median ratio of their processor seconds to those
of ours, and how far the losses of a sweep lie above the lowest of all sweeps, at most.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy.special import log_softmax
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from stages.heads import lbfgs
from stages.tables import features
from tests.benchmarks import arguments
from tests.projects import make_project, run, set_params

C_VALUES = (0.1, 1.0, 10.0, 100.0)
MAX_STEPS = 1_000

Solution = np.ndarray  # (dim + 1, labels or 1): coefficients, and intercepts in the last row
Sweep = Callable[[np.ndarray, np.ndarray], list[Solution]]


def ours(X: np.ndarray, y: np.ndarray) -> list[Solution]:
    labels = int(y.max()) + 1
    W = np.zeros((X.shape[1] + 1, labels if labels > 2 else 1))
    solutions, parts = [], lbfgs.blocks(X)
    moments = lbfgs.second_moments(X)
    for C in C_VALUES:
        W = lbfgs.fit(parts, y, C=C, weights=np.ones(len(y)), start=W, moments=moments)
        solutions.append(W)
    return solutions


def scikit_learn(*, warm_start: bool, tolerance: float) -> Sweep:
    def sweep(X: np.ndarray, y: np.ndarray) -> list[Solution]:
        estimator = LogisticRegression(max_iter=MAX_STEPS, warm_start=warm_start, tol=tolerance)
        solutions = []
        for C in C_VALUES:
            estimator.set_params(C=C).fit(X, y)
            solutions.append(np.vstack([estimator.coef_.T, estimator.intercept_]).astype(np.float64))
        return solutions

    return sweep


SWEEPS: dict[str, Sweep] = {
    "ours": ours,
    "scikit-learn, default": scikit_learn(warm_start=False, tolerance=1e-4),
    "warm_start, tol=1e-5": scikit_learn(warm_start=True, tolerance=1e-5),
    "warm_start, tol=3e-5": scikit_learn(warm_start=True, tolerance=3e-5),
}


def main() -> None:
    args = arguments.parse(__doc__, table=Path, rounds=3)
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        for shape, X, y in (*read_shapes(args.table, Path(folder)), made_up_shape()):
            print(
                f"{shape}: {X.shape[0]:,} x {X.shape[1]:,}, {y.max() + 1} labels, {X.size * (y.max() + 1):.0e} products"
            )
            for line in compare(X, y, args.rounds):
                print(f"  {line}", flush=True)


def made_up_shape() -> tuple[str, np.ndarray, np.ndarray]:
    """Make up features; give their name, X and label indices."""
    X, y = make_classification(10_003, 384, n_informative=100, n_classes=77, n_clusters_per_class=1, random_state=0)
    return "made up", (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), y


def read_shapes(table: Path, folder: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield name, X and label indices of the features of a table by MiniLM."""
    project = make_project(folder / "project")
    (project / "data/rows.csv").write_bytes(table.read_bytes())
    set_params(project, prepare__data="data/rows.csv", prepare__label="label")
    set_params(project, prepare__validation=0, prepare__test=0.001, prepare__max_rejected=1)
    run(project, "dvc", "repro", "extract")
    train = features.read(project / "data/features", "train")
    y = np.unique(train.labels.astype(str), return_inverse=True)[1]
    yield "dense, all labels", train.X, y
    yield "dense, ten labels", train.X[y < 10], y[y < 10]
    yield "dense, two groups of labels", train.X, y % 2


def compare(X: np.ndarray, y: np.ndarray, rounds: int) -> Iterator[str]:
    """Run the sweeps in turns, and yield a line about each."""
    seconds: dict[str, list[float]] = {name: [] for name in SWEEPS}
    losses = {}
    for _ in range(rounds):
        for name, sweep in SWEEPS.items():
            start = time.process_time()
            solutions = sweep(X, y)
            seconds[name].append(time.process_time() - start)
            losses[name] = np.array([_loss(X, y, C, W) for C, W in zip(C_VALUES, solutions, strict=True)])
    lowest = np.min(list(losses.values()), axis=0)
    for name in SWEEPS:
        ratio = statistics.median(a / b for a, b in zip(seconds[name], seconds["ours"], strict=True))
        excess = (losses[name] / lowest - 1).max()
        yield f"{name:22s} {ratio:5.2f} times ours ({min(seconds[name]):.2f} s), loss {excess:.0e} above the lowest"


def _loss(X: np.ndarray, y: np.ndarray, C: float, solution: Solution) -> float:
    """Mean log loss with the penalty, in float64."""
    scores = X.astype(np.float64) @ solution[:-1] + solution[-1]
    if scores.shape[1] == 1:
        scores = np.hstack([np.zeros_like(scores), scores])
    loss = -log_softmax(scores, axis=1)[np.arange(len(y)), y].mean()
    return float(loss + (solution[:-1] ** 2).sum() / (2 * C * len(y)))


if __name__ == "__main__":
    main()
