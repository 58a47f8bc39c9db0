"""One thread that computes for all requests, a batch of the rows of several at a time."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from stages.serving import limits

Compute: TypeAlias = Callable[[Sequence[Any]], Any]  # of inputs: a matrix with a row for every input


@dataclass(eq=False)
class Job:
    """The inputs of one request, and what they are for."""

    compute: Compute
    inputs: Sequence[Any]
    deadline: float  # of time.monotonic
    arrived: float = field(default_factory=time.monotonic)
    result: "Future[Any]" = field(default_factory=Future)


class Batcher:
    """Computes one batch after another. Any number of threads may ask."""

    def __init__(
        self, *, batch_rows: int, max_waiting_rows: int, observe: Callable[[int, float], object] = lambda _, __: None
    ) -> None:
        """Start the thread.

        Args:
            batch_rows: of a batch of several requests; a larger request is a batch of its own.
            max_waiting_rows: of all requests.
            observe: called with rows and seconds of every batch.
        """
        self._batch_rows, self._max_waiting_rows, self._observe = batch_rows, max_waiting_rows, observe
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._waiting_rows, self._is_closed = 0, False
        self._thread = threading.Thread(target=self._run, name="scoring", daemon=True)
        self._thread.start()

    @property
    def waiting_rows(self) -> int:
        """Rows that are not in a batch yet."""
        return self._waiting_rows

    def compute(self, compute: Compute, inputs: Sequence[Any], deadline: float) -> Any:
        """Return `compute` of the inputs, which may be computed together with those of other calls.

        Raises:
            RefusedError: too many rows wait, or it is not done by the deadline.
            Exception: what `compute` raises of these inputs.
        """
        job = Job(compute, inputs, deadline)
        with self._changed:
            if self._is_closed or (self._jobs and self._waiting_rows + len(inputs) > self._max_waiting_rows):
                raise limits.busy("the server is ending" if self._is_closed else "too many rows wait")
            self._jobs.append(job)
            self._waiting_rows += len(inputs)
            self._changed.notify()
        try:
            return job.result.result(timeout=max(deadline - time.monotonic(), 0))
        except TimeoutError:
            raise limits.too_late() from None

    def close(self) -> None:
        """Compute what waits, and end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._take():
            self._compute(batch)

    def _take(self) -> list[Job]:
        """Wait for jobs, and then a moment for those of others; none once this is closed and all is done."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._is_closed)
            if not self._jobs:
                return []
            first = self._jobs[0]
            self._changed.wait_for(
                lambda: self._waiting_rows >= self._batch_rows or self._is_closed,
                timeout=max(first.arrived + limits.COLLECT_SECONDS - time.monotonic(), 0),
            )
            batch: list[Job] = []
            rows = 0
            while self._jobs and self._jobs[0].compute is first.compute:
                rows += len(self._jobs[0].inputs)
                if batch and rows > self._batch_rows:
                    break
                batch.append(self._jobs.popleft())
            self._waiting_rows -= sum(len(job.inputs) for job in batch)
            return batch

    def _compute(self, batch: Sequence[Job]) -> None:
        """Give every job its rows; where the batch fails, the jobs one by one, so that only the culprit fails."""
        now = time.monotonic()
        for job in batch:
            if job.deadline <= now:
                job.result.set_exception(TimeoutError())
        batch = [job for job in batch if job.deadline > now]
        if not batch:
            return
        try:
            results = batch[0].compute([content for job in batch for content in job.inputs])
        except Exception as error:
            if len(batch) == 1:
                batch[0].result.set_exception(error)
            else:
                for job in batch:
                    self._compute([job])
            return
        start = 0
        for job in batch:
            job.result.set_result(results[start : start + len(job.inputs)])
            start += len(job.inputs)
        self._observe(start, time.monotonic() - now)
