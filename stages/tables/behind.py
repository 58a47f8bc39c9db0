"""Write in a thread, while the caller makes what is written next: pyarrow packs and writes without Python's lock."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

MAX_WAITING = 4  # things to write, which the memory holds

Item = TypeVar("Item")


@contextmanager
def behind(write: Callable[[Item], object]) -> Iterator[Callable[[Item], None]]:
    """Give a function that lets a thread `write`, in the order of its calls; all is written when the block ends.

    The error of a write is raised by one of the next calls, or where the block ends. The thread ends with the block,
    also by an error.
    """
    waiting = deque[Future[object]]()
    with ThreadPoolExecutor(1) as pool:

        def put(item: Item) -> None:
            if len(waiting) == MAX_WAITING:
                waiting.popleft().result()
            waiting.append(pool.submit(write, item))

        yield put
        for future in waiting:
            future.result()
