"""Rows of several requests in one batch, and what becomes of requests when it is too much or goes wrong."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from stages.serving import limits
from stages.serving.batcher import Batcher
from stages.serving.limits import RefusedError

LATER = 20.0  # seconds, which no test takes


class Slow:
    """Squares numbers, once it is let go, and notes its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go, self.busy = threading.Event(), threading.Event()

    def __call__(self, inputs: Sequence[int]) -> np.ndarray:
        self.batches.append(list(inputs))
        self.busy.set()
        assert self.go.wait(LATER)
        if 13 in inputs:
            raise ZeroDivisionError("13")
        return np.array(inputs)[:, None] ** 2


@pytest.fixture
def slow() -> Iterator[Slow]:
    slow = Slow()
    yield slow
    slow.go.set()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def deadline(seconds: float = LATER) -> float:
    return time.monotonic() + seconds


def wait_for_rows(batcher: Batcher, rows: int) -> None:
    end = deadline()
    while batcher.waiting_rows != rows:
        assert time.monotonic() < end
        time.sleep(0.001)


def test_what_waits_is_computed_together_up_to_the_size_of_a_batch(slow: Slow, pool: ThreadPoolExecutor) -> None:
    seen: list[int] = []
    batcher = Batcher(batch_rows=5, max_waiting_rows=100, observe=lambda rows, _: seen.append(rows))
    first = pool.submit(batcher.compute, slow, [1], deadline())
    assert slow.busy.wait(LATER)
    jobs = []
    for inputs in ([2, 3], [4, 5], [6, 7], list(range(20, 30))):
        jobs.append(pool.submit(batcher.compute, slow, inputs, deadline()))
        wait_for_rows(batcher, sum(map(len, ([2, 3], [4, 5], [6, 7], range(10))[: len(jobs)])))
    slow.go.set()
    assert first.result().tolist() == [[1]]
    assert [job.result().ravel().tolist() for job in jobs] == [
        [4, 9],
        [16, 25],
        [36, 49],
        [n**2 for n in range(20, 30)],
    ]
    assert slow.batches == [[1], [2, 3, 4, 5], [6, 7], list(range(20, 30))] and sum(seen) == 17
    batcher.close()


def test_other_functions_are_computed_apart(slow: Slow, pool: ThreadPoolExecutor) -> None:
    """Those of a model that was replaced meanwhile, and of its successor."""
    slow.go.set()
    batcher, other = Batcher(batch_rows=50, max_waiting_rows=100), Slow()
    other.go.set()
    jobs = [pool.submit(batcher.compute, (slow, other)[n % 2], [n], deadline()) for n in range(10)]
    assert [job.result()[0, 0] for job in jobs] == [n**2 for n in range(10)]
    assert all(n % 2 == 0 for batch in slow.batches for n in batch)
    assert all(n % 2 for batch in other.batches for n in batch)


def test_only_the_culprit_fails(slow: Slow, pool: ThreadPoolExecutor) -> None:
    batcher = Batcher(batch_rows=50, max_waiting_rows=100)
    first = pool.submit(batcher.compute, slow, [1], deadline())
    assert slow.busy.wait(LATER)
    jobs = [pool.submit(batcher.compute, slow, [n], deadline()) for n in (12, 13, 14)]
    wait_for_rows(batcher, 3)
    slow.go.set()
    assert first.result()[0, 0] == 1
    assert (jobs[0].result()[0, 0], jobs[2].result()[0, 0]) == (144, 196)
    with pytest.raises(ZeroDivisionError):
        jobs[1].result()
    assert batcher.compute(slow, [3], deadline())[0, 0] == 9


def test_too_many_rows_are_refused_at_once(slow: Slow, pool: ThreadPoolExecutor) -> None:
    batcher = Batcher(batch_rows=5, max_waiting_rows=4)
    first = pool.submit(batcher.compute, slow, [1], deadline())
    assert slow.busy.wait(LATER)
    large = pool.submit(batcher.compute, slow, [2] * 9, deadline())  # waits alone, as nothing else does
    wait_for_rows(batcher, 9)
    with pytest.raises(RefusedError) as refused:
        batcher.compute(slow, [3], deadline())
    assert refused.value.status == 503 and refused.value.headers == {"retry-after": "1"}
    slow.go.set()
    assert len(first.result()) == 1 and len(large.result()) == 9


def test_a_request_that_waits_too_long_is_refused_and_not_computed(slow: Slow, pool: ThreadPoolExecutor) -> None:
    batcher = Batcher(batch_rows=5, max_waiting_rows=100)
    first = pool.submit(batcher.compute, slow, [1], deadline())
    assert slow.busy.wait(LATER)
    with pytest.raises(RefusedError) as refused:
        batcher.compute(slow, [2], deadline(0.01))
    assert refused.value.status == 504
    slow.go.set()
    assert len(first.result()) == 1 and batcher.compute(slow, [3], deadline())[0, 0] == 9
    assert [2] not in slow.batches


def test_closing_computes_what_waits_and_refuses_more(slow: Slow, pool: ThreadPoolExecutor) -> None:
    batcher = Batcher(batch_rows=1, max_waiting_rows=100)
    jobs = [pool.submit(batcher.compute, slow, [n], deadline()) for n in range(4)]
    assert slow.busy.wait(LATER)
    wait_for_rows(batcher, 3)
    closing = pool.submit(batcher.close)
    slow.go.set()
    closing.result()
    assert [job.result()[0, 0] for job in jobs] == [0, 1, 4, 9]
    with pytest.raises(RefusedError, match="ending"):
        batcher.compute(slow, [1], deadline())


def test_the_bytes_of_all_requests_are_bounded_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_BYTES_AT_ONCE", 100)
    room = limits.Room()
    with room.taken() as one, room.taken() as other:
        one.take(60)
        other.take(40)
        with pytest.raises(RefusedError) as refused:
            other.take(1)
        assert refused.value.status == 503
    with room.taken() as again:
        again.take(100)
