"""Nearest training rows by near_duplicates.find and by scikit-learn's pairwise_distances_argmin_min, beside each other.

    python -m tests.benchmarks.near_duplicates [TRAIN TEST]

Random dense vectors of 384 dimensions, and sparse ones of 20,000 with 30 elements a row. One process a side; prints the
ratio of their seconds and their peak memory above the vectors' own, and checks that both find the same rows.
"""

import multiprocessing
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import numpy as np
from scipy import sparse
from sklearn.metrics import pairwise_distances_argmin_min

from stages.common import run_stats
from stages.evaluation import near_duplicates
from stages.tables.features import Matrix

Nearest = Callable[[Matrix, Matrix], np.ndarray]


def dense(rows: int, seed: int) -> Matrix:
    return np.random.default_rng(seed).normal(size=(rows, 384)).astype(np.float32)


def sparse_rows(rows: int, seed: int) -> Matrix:
    generator = np.random.default_rng(seed)
    starts = np.arange(0, 30 * rows + 1, 30)
    values = generator.random(30 * rows, dtype=np.float32)
    X = sparse.csr_matrix((values, generator.integers(0, 20_000, 30 * rows), starts), shape=(rows, 20_000))
    X.sum_duplicates()
    return X


def ours(train: Matrix, test: Matrix) -> np.ndarray:
    nearest: np.ndarray = near_duplicates.find(train, test, 1e-6).sort_values("test")["train"].to_numpy()
    return nearest


def sklearns(train: Matrix, test: Matrix) -> np.ndarray:
    nearest: np.ndarray = pairwise_distances_argmin_min(test, train, metric="cosine")[0]
    return nearest


def side(pipe: Connection, nearest: Nearest, vectors: Callable[[int, int], Matrix], train: int, test: int) -> None:
    X, T = vectors(train, 0), vectors(test, 1)
    nearest(X[:100], T[:100])  # what is imported or compiled at the first call is not measured
    memory, start = run_stats.peak_memory(), time.perf_counter()
    rows = nearest(X, T)
    pipe.send((time.perf_counter() - start, run_stats.peak_memory() - memory, rows))


def main() -> None:
    train, test = map(int, sys.argv[1:] or (100_000, 10_000))
    context = multiprocessing.get_context("spawn")
    for vectors in (dense, sparse_rows):
        results = []
        for nearest in (ours, sklearns):
            here, there = context.Pipe()
            process = context.Process(target=side, args=(there, nearest, vectors, train, test))
            process.start()
            there.close()  # so that a process that fails ends the wait for it
            results.append(here.recv())
            process.join()
        (our_seconds, our_memory, our_rows), (seconds, memory, rows) = results
        print(
            f"{vectors.__name__}, {train:,} x {test:,}: scikit-learn takes {seconds / our_seconds:.2f} times our"
            f" {our_seconds:.1f} s, and {memory / 1e9:.2f} GB to our {our_memory / 1e9:.2f} GB;"
            f" same nearest rows: {np.mean(our_rows == rows):.2%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
