"""Spread work over threads. Results come in order, and only a few wait, so memory does not grow with the rows.

Threads suffice: Pillow decodes, scales and encodes without holding Python's lock, and torch computes without it.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

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
    """Count the CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
