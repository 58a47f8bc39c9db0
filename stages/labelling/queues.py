"""Which row a tab of the browser gets next. No row is given to two tabs.

Two queues, and every unlabelled row is in one of them: `suggested` has the rows that would train, `random` those that
prepare would put into validation or test, in random order.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Literal

Queue = Literal["suggested", "random"]
MAX_SILENCE = 300  # seconds without a word from a tab until others get its row; browsers let hidden tabs speak rarely


class Queues:
    """The rows in order, who has which, and which are put aside."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.orders: dict[Queue, Sequence[str]] = {"suggested": (), "random": ()}  # ids
        self.unsure: set[str] = set()  # not asked again
        self.skipped: set[str] = set()  # asked again when all others of the queue are done
        self._clock = clock
        self._row_of: dict[str, str] = {}  # by tab
        self._heard: dict[str, float] = {}  # when each tab last spoke

    def hear(self, tab: str) -> None:
        """Note that a tab is open, and forget those that are not."""
        now = self._clock()
        self._heard[tab] = now
        for other in [other for other, heard in self._heard.items() if now - heard > MAX_SILENCE]:
            self.leave(other)

    def leave(self, tab: str) -> None:
        """Forget a tab; its row is free."""
        self._heard.pop(tab, None)
        self._row_of.pop(tab, None)

    def give(self, tab: str, row_id: str) -> bool:
        """Give a tab a row instead of the one it has, and tell whether no other tab has it."""
        if any(row == row_id for other, row in self._row_of.items() if other != tab):
            return False
        self._row_of[tab] = row_id
        return True

    def next(self, tab: str, queue: Queue, labelled: Collection[str]) -> str | None:
        """Give a tab the next row of a queue; None where there is none."""
        self._row_of.pop(tab, None)
        row_id = next(self.waiting(queue, labelled), None)
        if row_id is None and self.skipped:
            self.skipped.difference_update(self.orders[queue])
            row_id = next(self.waiting(queue, labelled), None)
        if row_id is not None:
            self._row_of[tab] = row_id
        return row_id

    def waiting(self, queue: Queue, labelled: Collection[str]) -> Iterator[str]:
        """Yield the rows of a queue that are neither labelled, nor shown, nor put aside."""
        shown = set(self._row_of.values())
        for row_id in self.orders[queue]:
            is_aside = row_id in self.skipped or row_id in self.unsure
            if row_id not in labelled and row_id not in shown and not is_aside:
                yield row_id
