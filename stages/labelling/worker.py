"""The thread that learns while a person labels, and takes over the tables that a `dvc repro` makes."""

import sys
import threading
import traceback
from collections.abc import Callable

from stages.common.errors import HeadstartError, one_line
from stages.labelling.learner import Accuracy
from stages.labelling.session import Session, Task
from stages.labelling.snapshot import Snapshot, Stamp

POLL_SECONDS = 1.0  # between looks at the tables


class Worker:
    """Learns in the background."""

    def __init__(
        self, session: Session, *, stamp: Callable[[], Stamp], renew: Callable[[], tuple[Snapshot, bool]]
    ) -> None:
        """Prepare.

        Args:
            session: to learn from and for.
            stamp: tells one state of the tables from another.
            renew: reads the tables, and tells whether prepare reads the labels.
        """
        self._session, self._stamp, self._renew = session, stamp, renew
        self._last: Task | None = None  # that the head was fitted to
        self._accuracy: Accuracy | None = None

    def start(self) -> None:
        """Work until this process ends."""
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            self._session.changed.wait(POLL_SECONDS)
            self._session.changed.clear()
            self.step()

    def step(self) -> None:
        """Take over new tables, and learn from new labels."""
        session, troubles = self._session, self._session.troubles
        try:
            if self._stamp() != session.snapshot.stamp:
                tables, counts = self._renew()
                session.renew(tables, counts=counts)
            troubles.pop("tables", None)
        except HeadstartError as error:
            troubles["tables"] = (
                f"The page keeps what it read before ({error}); while `dvc repro` makes new tables, wait"
            )
            return
        task = session.task()
        try:
            self._learn(task)
        except Exception as error:  # the page goes on without guesses
            traceback.print_exc(file=sys.stderr)
            troubles["learning"] = f"Guesses and suggestions stopped ({one_line(error)}); the terminal has more"
            session.learned(task, None, [])

    def _learn(self, task: Task) -> None:
        session, last, vectors = self._session, self._last, task.snapshot.vectors
        if not vectors:
            return
        if last is None or last.snapshot is not task.snapshot or last.labels != task.labels:
            self._last = task
            self._accuracy = session.learner.fit(vectors, task.labels)
            session.troubles.pop("learning", None)
            session.learned(task, self._accuracy, None)
        if task.candidates is not None:
            suggestions = (session.learner.suggest(vectors, task.labels, rows) for rows in task.candidates)
            session.learned(task, self._accuracy, next(filter(None, suggestions), []))
