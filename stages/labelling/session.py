"""Labels that come from the page: what is shown, stored and taken back. Threads may call it at the same time."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from stages.common.errors import HeadstartError
from stages.labelling import progress
from stages.labelling.book import Book, checked
from stages.labelling.inputs import Input
from stages.labelling.learner import Accuracy, Learner
from stages.labelling.queues import Queue, Queues
from stages.labelling.snapshot import Snapshot
from stages.tables.labels_file import NewLabel

MIN_SUGGESTIONS = 5  # fewer left: others are chosen
MAX_STALE_LABELS = 10  # more labels since the suggestions were chosen: others are chosen

Kind = Literal["label", "skip", "unsure"]


@dataclass(frozen=True)
class Shown:
    """A row that a tab shows."""

    id: str
    queue: Queue
    split: str  # that its label gets
    input: Input
    guesses: tuple[tuple[str, float], ...]  # labels with probabilities, the likeliest first

    def as_json(self) -> dict[str, Any]:
        """Describe the row to the page."""
        return {
            "id": self.id,
            "split": self.split,
            "texts": self.input.texts,
            "source": self.input.source,
            "guesses": [{"name": name, "share": round(share, 4)} for name, share in self.guesses],
        }


@dataclass(frozen=True)
class Task:
    """What the background work learns from."""

    version: int
    snapshot: Snapshot
    labels: Mapping[str, tuple[str, str]]  # label and split by id
    # Rows that may be suggested, and skipped ones for when there are no others; None: there are suggestions enough.
    candidates: tuple[list[str], list[str]] | None


class Session:
    """One run of the page."""

    def __init__(self, snapshot: Snapshot, labels_path: Path, *, counts: bool, queues: Queues | None = None) -> None:
        """Begin.

        Args:
            snapshot: the tables.
            labels_path: the file of labels, which need not exist.
            counts: whether prepare reads that file.
            queues: a new one by default.

        Raises:
            HeadstartError: the file of labels cannot be read.
        """
        self.learner = Learner()
        self.changed = threading.Event()  # there is something to learn
        self.troubles: dict[str, str] = {}  # of the background work: sentences
        self._lock = threading.RLock()
        self._queues = queues or Queues()
        self._shown: dict[str, Shown] = {}  # by tab
        self._done: dict[str, list[tuple[Kind, Shown]]] = {}  # by tab
        self.book = Book(labels_path)
        self._accuracy: Accuracy | None = None
        self.renew(snapshot, counts=counts)

    def renew(self, snapshot: Snapshot, *, counts: bool) -> None:
        """Take over new tables, and read the file of labels again."""
        order = snapshot.random_order()
        with self._lock:
            self.book.read(snapshot)
            self.snapshot, self.counts, split_of = snapshot, counts, snapshot.split_of
            self._queues.orders["random"] = [row_id for row_id in order if split_of[row_id] != "train"]
            self._training = [row_id for row_id in order if split_of[row_id] == "train"]
            self._queues.orders["suggested"] = () if snapshot.vectors else self._training
            self._version = 0  # grows with everything that a tab does
            self._version_at_choice: int | None = None  # of the suggestions
            self._labels_at_choice = 0
        self.changed.set()

    def view(self, tab: str, queue: Queue) -> dict[str, Any]:
        """Give what a tab is to show: its row, or why there is none, and the state of the work.

        Raises:
            HeadstartError: the row cannot be read, as the tables are being made again.
        """
        with self._lock:
            self._queues.hear(tab)
            shown = self._shown.get(tab)
            is_open = shown is not None and shown.queue == queue and shown.id not in self.book.labels
            if shown is None or not is_open or not self._queues.give(tab, shown.id):
                shown = self._next(tab, queue)
            row = shown and shown.as_json()
            return {"queue": queue, "row": row, "wait": "" if row else self._wait(queue), "state": self._state()}

    def _next(self, tab: str, queue: Queue) -> Shown | None:
        self._shown.pop(tab, None)
        row_id = self._queues.next(tab, queue, self.book.labels)
        return None if row_id is None else self._show(tab, queue, row_id)

    def _show(self, tab: str, queue: Queue, row_id: str) -> Shown:
        snapshot = self.snapshot
        guesses = self.learner.guess(snapshot.vectors, row_id) if snapshot.vectors else []
        row = snapshot.inputs.read(snapshot.row_of[row_id], row_id)
        shown = self._shown[tab] = Shown(row_id, queue, snapshot.split_of[row_id], row, tuple(guesses))
        return shown

    def _state(self) -> dict[str, Any]:
        """Describe the work so far."""
        new = self.book.splits(self.snapshot)
        return {
            "labels": len(self.book.labels),
            "given": self.book.given,
            "classes": list(self.book.classes),
            "notes": progress.notes(
                self.snapshot, self.book.path, self.book.remarks, self.troubles, counts=self.counts
            ),
            "test": progress.test_rows(self.snapshot.future, new, has_random=self._has_random()),
            "curve": progress.curve(self._accuracy, self.snapshot.future),
        }

    def _has_random(self) -> bool:
        """Tell whether a row of the random queue has no label; every click asks, so the first such row is enough."""
        labels, unsure = self.book.labels, self._queues.unsure
        return any(row_id not in labels and row_id not in unsure for row_id in self._queues.orders["random"])

    def _wait(self, queue: Queue) -> str:
        """Say why a queue may have no row for now."""
        if queue == "suggested" and self.snapshot.vectors and self._version != self._version_at_choice:
            return "Choosing the next rows …"
        return progress.nothing_left(queue, self.snapshot)

    def label(self, tab: str, row_id: str, label: str) -> None:
        """Store the label of the row that a tab shows; it is on the disk when this returns.

        Raises:
            HeadstartError: the tab does not show the row, it has a label, or the label cannot be stored.
        """
        label = checked(label)
        with self._lock:
            shown = self._mine(tab, row_id)
            if row_id in self.book.labels:
                self._shown.pop(tab, None)
                raise HeadstartError("this row was labelled in another tab meanwhile; here is the next one")
            self.book.add(NewLabel(row_id, shown.input.name, label, shown.split))
            self._finish(tab, "label", shown)
        self.changed.set()

    def put_aside(self, tab: str, row_id: str, kind: Literal["skip", "unsure"]) -> None:
        """Show the row that a tab shows later again, or where nobody is sure, not again in this run."""
        with self._lock:
            shown = self._mine(tab, row_id)
            (self._queues.skipped if kind == "skip" else self._queues.unsure).add(row_id)
            self._finish(tab, kind, shown)
        self.changed.set()

    def undo(self, tab: str) -> Queue:
        """Take back the last thing that a tab did, let it show that row again, and give the row's queue.

        Raises:
            HeadstartError: there is nothing to take back, or it cannot be stored.
        """
        with self._lock:
            done = self._done.get(tab)
            if not done:
                raise HeadstartError("there is nothing to undo in this tab")
            kind, shown = done[-1]
            if kind == "label":
                self.book.take_back(shown.id, shown.input.name)
            self._queues.skipped.discard(shown.id)
            self._queues.unsure.discard(shown.id)
            done.pop()
            self._version += 1
            if self._queues.give(tab, shown.id):
                self._shown[tab] = shown
        self.changed.set()
        return shown.queue

    def leave(self, tab: str) -> None:
        """Forget a tab that was closed."""
        with self._lock:
            self._queues.leave(tab)
            self._shown.pop(tab, None)
            self._done.pop(tab, None)

    def picture(self, row_id: str) -> bytes:
        """Read the picture of an unlabelled row, as PNG.

        Raises:
            HeadstartError: there is no such row, or it cannot be read.
        """
        snapshot = self.snapshot
        if row_id not in snapshot.row_of:
            raise HeadstartError("there is no such row")
        return snapshot.inputs.picture(snapshot.row_of[row_id], row_id)

    def task(self) -> Task:
        """Give the background work the state that it is to learn from."""
        with self._lock:
            candidates = self._candidates() if self._is_due() else None
            return Task(self._version, self.snapshot, dict(self.book.labels), candidates)

    def _candidates(self) -> tuple[list[str], list[str]]:
        skipped, unsure = self._queues.skipped, self._queues.unsure
        free = [row for row in self._training if row not in self.book.labels and row not in unsure]
        return [row for row in free if row not in skipped], [row for row in free if row in skipped]

    def _is_due(self) -> bool:
        """Tell whether rows are to be suggested anew."""
        if not self.snapshot.vectors or self._version == self._version_at_choice:
            return False
        if self._version_at_choice is None or abs(len(self.book.labels) - self._labels_at_choice) >= MAX_STALE_LABELS:
            return True
        waiting = self._queues.waiting("suggested", self.book.labels)
        return len(list(islice(waiting, MIN_SUGGESTIONS))) < MIN_SUGGESTIONS

    def learned(self, task: Task, accuracy: Accuracy | None, suggestions: list[str] | None) -> None:
        """Take over how good the new head is, and rows that are worth labelling next; None: those stay."""
        with self._lock:
            if task.snapshot is not self.snapshot:
                return
            self._accuracy = accuracy
            if suggestions is not None:
                self._queues.skipped.difference_update(suggestions)
                self._queues.orders["suggested"] = suggestions
                self._version_at_choice, self._labels_at_choice = task.version, len(task.labels)

    def _mine(self, tab: str, row_id: str) -> Shown:
        """Return the row that a tab shows, if it is this one."""
        shown = self._shown.get(tab)
        if shown is None or shown.id != row_id:
            raise HeadstartError("this tab shows another row by now, so nothing was stored; look at it again")
        return shown

    def _finish(self, tab: str, kind: Kind, shown: Shown) -> None:
        self._done.setdefault(tab, []).append((kind, shown))
        self._shown.pop(tab, None)
        self._version += 1
