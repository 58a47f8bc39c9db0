"""Time implementations in turns, each in a process of its own that loads once."""

import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

Setup = Callable[..., Callable[[], np.ndarray]]


def alternate(*setups: Setup, arguments: tuple[Any, ...], rounds: int) -> tuple[list[list[float]], list[np.ndarray]]:
    """Call the setups with `arguments`, each in a process, then time the functions they return in turns.

    Returns:
        For every side, seconds of every round; and for every side, the vectors.
    """
    context = multiprocessing.get_context("spawn")
    sides = []
    for setup in setups:
        here, there = context.Pipe()
        process = context.Process(target=_side, args=(there, setup, arguments))
        process.start()
        there.close()  # so that waiting for a process that dies ends, too
        sides.append((here, process))
    vectors = []
    for here, _ in sides:  # the first call is not timed
        here.send("go")
        vectors.append(here.recv()[1])
    seconds: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for number, (here, _) in enumerate(sides):
            here.send("go")
            seconds[number].append(here.recv()[0])
    for here, process in sides:
        here.send("end")
        process.join()
    return seconds, vectors


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Give the speed of ours as a multiple of theirs: the median over the rounds."""
    return statistics.median(there / here for here, there in zip(ours, theirs, strict=True))


def _side(connection: Connection, setup: Setup, arguments: tuple[Any, ...]) -> None:
    run = setup(*arguments)
    while connection.recv() == "go":
        start = time.perf_counter()
        vectors = run()
        connection.send((time.perf_counter() - start, vectors))
