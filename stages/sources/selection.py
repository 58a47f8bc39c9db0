"""Which raw rows are kept, and in which split: decided after a first look at all of them.

Memory holds ids, labels and origins, not contents.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from stages.common.errors import HeadstartError, counted
from stages.common.params import PrepareParams
from stages.sources.row import Row
from stages.tables.prepared import SPLITS
from stages.tables.splitting import Shares, Units, exceptions

Kind = Literal["unreadable", "duplicate", "conflict", "rare_class"]
KINDS: tuple[Kind, ...] = ("unreadable", "duplicate", "conflict", "rare_class")


@dataclass(slots=True)
class _Content:
    """One distinct content: the row that is kept, and all labels that rows with this content have."""

    kept: int  # row number
    rank: int  # of its given split in SPLITS, 0 for none: later splits win
    origin: str
    group: str | None
    labels: tuple[str, ...]


@dataclass
class Selection:
    """What is known of the rows. Add all of them, then `decide`, and then ask about every row."""

    settings: PrepareParams
    rows: int = 0
    names_files: bool = False
    unreadable: dict[int, str] = field(default_factory=dict)  # row number to problem
    rare_classes: dict[str, int] = field(default_factory=dict)  # left out, with their rows
    _given_splits: set[str] = field(default_factory=set)
    _contents: dict[str, _Content] = field(default_factory=dict)  # by id
    _labels: dict[str, tuple[str]] = field(default_factory=dict)  # one object for all rows of a class
    _splits: dict[str, str] = field(default_factory=dict)  # of ids and groups that are not in their natural split

    def add(self, number: int, row: Row, row_id: str) -> None:
        """Note the row of this number; its content is not looked at."""
        self.rows += 1
        self.names_files |= row.name is not None
        if row.problem:
            self.unreadable[number] = row.problem
            return
        assert row.label is not None
        if row.split:
            self._given_splits.add(row.split)
        # If a row occurs in several given splits, keep the copy in the latest: a published test file stays complete.
        rank = SPLITS.index(row.split) if row.split else 0
        labels = self._labels.setdefault(row.label, (row.label,))
        content = self._contents.setdefault(row_id, _Content(number, rank, row.origin, row.group, labels))
        if row.label not in content.labels:
            content.labels = (*content.labels, row.label)
        if rank > content.rank:
            content.kept, content.rank, content.origin, content.group = number, rank, row.origin, row.group

    def decide(self) -> None:
        """Find classes that have too few rows, and the rows that leave their natural split."""
        sizes = Counter(content.labels[0] for content in self._contents.values() if len(content.labels) == 1)
        self.rare_classes = {label: sizes[label] for label in sorted(sizes) if sizes[label] < self.settings.min_rows}
        self._splits = exceptions(self._units(), self._shares())

    def reason_to_leave_out(self, number: int, row: Row, row_id: str) -> tuple[Kind, str] | None:
        """Return (kind, explanation) for a row that is left out, or None.

        Raises:
            HeadstartError: the row was not added.
        """
        if number in self.unreadable:
            return "unreadable", self.unreadable[number]
        content = self._contents.get(row_id)
        if content is None:
            raise HeadstartError(f"{row.origin} changed while it was read; run `dvc repro prepare` again")
        if len(content.labels) > 1:
            return "conflict", f"the same content is labelled {' and '.join(sorted(content.labels))}"
        if content.kept != number:
            return "duplicate", f"duplicate of {content.origin}"
        (label,) = content.labels
        if label in self.rare_classes:
            rows = self.rare_classes[label]
            return (
                "rare_class",
                f"class {label} has {counted(rows, 'row')}, prepare.min_rows is {self.settings.min_rows:,}",
            )
        return None

    def split(self, row: Row, row_id: str) -> str:
        """Return the given split; a split that is not given for any row is cut from the training rows."""
        if row.split in ("validation", "test"):
            return row.split
        key = row.group or row_id
        return self._splits.get(key) or self._shares().natural(key)

    def _shares(self) -> Shares:
        given, settings = self._given_splits, self.settings
        return Shares(
            validation=0 if "validation" in given else settings.validation,
            test=0 if "test" in given else settings.test,
            seed=settings.seed,
        )

    def _units(self) -> Units:
        """Return what yields the ids, or groups, of the rows whose split is cut, with their classes."""

        def rows() -> Iterator[tuple[str, tuple[str, ...]]]:
            for row_id, content in self._contents.items():
                if not content.rank and len(content.labels) == 1 and content.labels[0] not in self.rare_classes:
                    yield content.group or row_id, content.labels

        if not self.settings.group:
            return rows
        groups: dict[str, set[str]] = {}
        for key, labels in rows():
            groups.setdefault(key, set()).update(labels)
        return groups.items
