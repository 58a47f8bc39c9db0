"""What one request may ask for, what all may hold together, and the answer to more."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

MAX_ROWS = {"text": 1_000, "image": 100}  # of a request
MAX_EXPLAINED_ROWS = 1  # of a request; every row takes up to 50 passes
MAX_BYTES = {"text": 2**23, "image": 2**26}  # of a request's body
MAX_CHARACTERS = 100_000  # of a text: with `extract.long: chunks`, one holds up all others for seconds
MAX_SECONDS = 60.0  # of a request, from its first byte to its answer
MAX_BYTES_AT_ONCE = 2**28  # of the bodies of all requests that are not answered yet
MAX_REQUESTS_AT_ONCE = 128  # threads; more requests wait
MAX_EXPLAINED_AT_ONCE = 1  # the passes of one fill batches
MAX_CONNECTIONS = 1_024
BATCH_ROWS = {"text": 512, "image": 64}  # that are scored together
MAX_WAITING_ROWS = {"text": 16_384, "image": 1_024}
COLLECT_SECONDS = 0.004  # that rows wait for those of other clients


class RefusedError(Exception):
    """A request that is not answered: status code, and a sentence for the client."""

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, dict(headers or {})


def busy(why: str) -> RefusedError:
    """Return the answer of a server that has too much to do."""
    return RefusedError(503, f"{why}; send this again in a moment", {"retry-after": "1"})


def too_late() -> RefusedError:
    """Return the answer to a request that took too long."""
    return RefusedError(504, f"this took more than {MAX_SECONDS:g} seconds; send fewer rows at a time")


def check(deadline: float) -> None:
    """Raise a RefusedError when a deadline, of time.monotonic, is over."""
    if time.monotonic() > deadline:
        raise too_late()


class Room:
    """Counts the bytes of requests that are not answered yet. Used by one thread, that of the event loop."""

    def __init__(self) -> None:
        self._left = MAX_BYTES_AT_ONCE

    @contextmanager
    def taken(self) -> "Iterator[Taken]":
        """Hold the bytes that one request takes until it is answered."""
        taken = Taken(self)
        try:
            yield taken
        finally:
            self._left += taken.size

    def take(self, size: int) -> None:
        """Take bytes.

        Raises:
            RefusedError: there are not that many left.
        """
        if size > self._left:
            raise busy("the requests of all clients hold too many bytes")
        self._left -= size


class Taken:
    """The bytes of one request."""

    def __init__(self, room: Room) -> None:
        self._room, self.size = room, 0

    def take(self, size: int) -> None:
        """Take more bytes; raises as `Room.take`."""
        self._room.take(size)
        self.size += size
