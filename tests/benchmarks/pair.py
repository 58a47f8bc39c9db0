"""Time two implementations in turns, both in a process of its own that loads once."""

import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch

Setup = Callable[..., Callable[[], np.ndarray]]


def alternate(ours: Setup, theirs: Setup, *arguments: Any, rounds: int) -> tuple[list[list[float]], list[np.ndarray]]:
    """Call `ours(*arguments)` and `theirs(*arguments)` in two processes, then time the functions they return in turns.

    Returns:
        For both sides, seconds of every round; and for both, the vectors.
    """
    context = multiprocessing.get_context("spawn")
    sides = []
    for setup in (ours, theirs):
        here, there = context.Pipe()
        process = context.Process(target=_side, args=(there, setup, arguments))
        process.start()
        there.close()  # so that waiting for a process that dies ends, too
        sides.append((here, process))
    vectors = []
    for here, _ in sides:  # the first call is not timed
        here.send("go")
        vectors.append(here.recv()[1])
    seconds: list[list[float]] = [[], []]
    for _ in range(rounds):
        for number, (here, _) in enumerate(sides):
            here.send("go")
            seconds[number].append(here.recv()[0])
    for here, process in sides:
        here.send("end")
        process.join()
    return seconds, vectors


def ratio(seconds: list[list[float]]) -> float:
    """Give the speed of ours as a multiple of theirs: the median over the rounds."""
    return statistics.median(theirs / ours for ours, theirs in zip(*seconds, strict=True))


def gflops() -> float:
    """Measure torch's speed on a product of 2048 x 2048 float32 matrices, in 10^9 operations a second."""
    a, b = torch.randn(2, 2048, 2048)
    best = 1e9
    for _ in range(10):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * 2048**3 / best / 1e9


def _side(connection: Connection, setup: Setup, arguments: tuple[Any, ...]) -> None:
    run = setup(*arguments)
    while connection.recv() == "go":
        start = time.perf_counter()
        vectors = run()
        connection.send((time.perf_counter() - start, vectors))
