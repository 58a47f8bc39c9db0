"""Two sides of a comparison, each in a process of its own that loads once, timed alternately on an idle machine."""

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
    """Call `setup(*arguments)` in each process, then what it returned by turns.

    Returns:
        Seconds of each round, and the vectors, of ours and of theirs.
    """
    context = multiprocessing.get_context("spawn")
    sides = []
    for setup in (ours, theirs):
        here, there = context.Pipe()
        process = context.Process(target=_side, args=(there, setup, arguments))
        process.start()
        there.close()  # so that the end of the process ends waiting for it, too
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
    """How many times as fast as theirs ours is: the median over the rounds."""
    return statistics.median(theirs / ours for ours, theirs in zip(*seconds, strict=True))


def gflops() -> float:
    """What torch reaches on a product of 2048 x 2048 matrices in float32, in 10^9 operations a second."""
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
