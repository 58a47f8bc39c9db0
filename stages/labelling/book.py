"""The labels that are in the file, kept in step with it, and the classes that they name."""

from collections import Counter
from pathlib import Path

from stages.common.errors import CONTROL_CHARACTERS, HeadstartError
from stages.labelling.snapshot import Snapshot
from stages.tables import labels_file
from stages.tables.labels_file import NewLabel

MAX_LABEL = 200  # characters


class Book:
    """Labels by id. Not safe for several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.labels: dict[str, tuple[str, str]] = {}  # label and split by id
        self.classes: list[str] = []  # only ever appended to, so that keys keep their meaning
        self.remarks: list[str] = []  # on the file
        self.given = 0  # labels of this run

    def read(self, snapshot: Snapshot) -> None:
        """Read the file, if there is one, and the classes of the tables.

        Raises:
            HeadstartError: the file cannot be read.
        """
        stored = labels_file.read(self.path) if self.path.exists() else labels_file.Labels()
        self.remarks = stored.remarks
        self.labels = {
            row_id: (label.label, label.split or snapshot.split_of.get(row_id, ""))
            for row_id, label in stored.by_id.items()
        }
        for name in (*snapshot.classes(), *(label for label, _ in self.labels.values())):
            self._know(name)

    def add(self, line: NewLabel) -> None:
        """Store a label; it is on the disk when this returns.

        Raises:
            HeadstartError: it cannot be stored.
        """
        self._append(line)
        self.labels[line.id] = line.label, line.split
        self.given += 1
        self._know(line.label)

    def take_back(self, row_id: str, name: str) -> None:
        """Take a label back.

        Raises:
            HeadstartError: that cannot be stored.
        """
        self._append(NewLabel(row_id, name, ""))
        self.labels.pop(row_id, None)
        self.given -= 1

    def splits(self, snapshot: Snapshot) -> Counter[str]:
        """Count the labels that the tables do not have yet, by split."""
        return Counter(split for row_id, (_, split) in self.labels.items() if row_id in snapshot.row_of)

    def _know(self, name: str) -> None:
        if name not in self.classes:
            self.classes.append(name)

    def _append(self, line: NewLabel) -> None:
        if remark := labels_file.append(self.path, [line]):
            self.remarks.append(remark)


def checked(label: str) -> str:
    """Return a label as prepare will read it.

    Raises:
        HeadstartError: it cannot be stored.
    """
    label = label.strip()
    if not label or len(label) > MAX_LABEL or CONTROL_CHARACTERS.search(label):
        raise HeadstartError(f"a class needs a name of 1 to {MAX_LABEL} characters on one line, and {label!r} is none")
    return label
