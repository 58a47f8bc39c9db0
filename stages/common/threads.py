"""Spread work over threads. Results come in order, and only a few wait, so memory does not grow with the rows.

Threads suffice: Pillow decodes, scales and encodes without holding Python's lock, and torch computes without it.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    ahead: int = 0,
    prepare_worker: Callable[[], object] | None = None,
) -> Iterator[Result]:
    """Yield `function(item)` for each item in order, working `ahead` (at least twice `workers`) items ahead.

    Args:
        prepare_worker: called once at the start of every thread.
    """
    waiting: deque[Future[Result]] = deque()
    rest = iter(items)
    with ThreadPoolExecutor(workers, initializer=prepare_worker) as pool:
        waiting.extend(pool.submit(function, item) for item in islice(rest, max(ahead, 2 * workers)))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(rest, 1))
            yield result


def cores() -> int:
    """Count the CPU cores that this process may use; a container may have a share of many."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, _quota() or allowed)


def share() -> None:
    """Let threads that wait sleep, and start no more than there are cores; call it before torch is imported.

    By default, threads of OpenMP wait busily for each other. Beside other busy processes they wait for one that has no
    core, and take the core that it needs: training beside seven of them took three times as long on two cores. Alone,
    both are as fast. What the user set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if _quota():  # which OpenMP does not know
        os.environ.setdefault("OMP_NUM_THREADS", str(cores()))


def _quota() -> int | None:
    """Return the cores that a container on Linux may use, rounded up; None if that is not limited."""
    try:
        limit, period = CPU_LIMIT.read_text("ascii").split()  # microseconds of use in a period, or `max`
        return max(-(-int(limit) // int(period)), 1)
    except (OSError, ValueError, ZeroDivisionError):
        return None
