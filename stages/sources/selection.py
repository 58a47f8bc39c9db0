"""Which raw rows are kept, and in which split: decided after a first look at all of them.

Memory holds ids, labels and origins, not the contents themselves.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from stages.common.errors import HeadstartError, counted
from stages.common.prepare_params import PrepareParams
from stages.common.setting_types import TaskName
from stages.sources.contents import Contents
from stages.sources.row import Row
from stages.tables import label_texts
from stages.tables.prepared import SPLITS, UNLABELLED
from stages.tables.splitting import Shares, Units, exceptions

Kind = Literal["unreadable", "duplicate", "conflict", "rare_class"]
KINDS: tuple[Kind, ...] = ("unreadable", "duplicate", "conflict", "rare_class")


@dataclass
class Selection:
    """What is known of the rows. Add all of them, then `decide`, and then ask about every row."""

    settings: PrepareParams
    task: TaskName = "single"
    labels_file_splits: Mapping[str, str] = field(default_factory=dict)  # by id; binding, whatever the table gives
    rows: int = 0
    names_files: bool = False
    unreadable: dict[int, str] = field(default_factory=dict)  # row number to problem
    # Left out with their rows, of which these are the numbers; of several labels, the rows stay.
    rare_classes: dict[str, int] = field(default_factory=dict)
    untrained_classes: dict[str, int] = field(default_factory=dict)  # likewise; of one, until labels are given
    _given_splits: set[str] = field(default_factory=set)
    _contents: Contents = field(default_factory=Contents)  # of labelled rows
    _unlabelled: Contents = field(default_factory=Contents)
    _shares: Shares | None = None  # once it is decided
    _fixed: dict[str, str] = field(default_factory=dict)  # splits of ids, and groups of such ids, in the file of labels
    _splits: dict[str, str] = field(default_factory=dict)  # of ids and groups that are not in their natural split

    def add(self, number: int, row: Row, row_id: str) -> None:
        """Note the row of this number; its content is not looked at."""
        self.rows += 1
        self.names_files |= row.name is not None
        if row.problem:
            self.unreadable[number] = row.problem
            return
        if row.label is None:
            self._unlabelled.add(row_id, number, 0, label="", origin=row.origin, group=None)
            return
        if row.split:
            self._given_splits.add(row.split)
        # If a row occurs in several given splits, keep the copy in the latest: a published test file stays complete.
        rank = SPLITS.index(row.split) if row.split and row_id not in self.labels_file_splits else 0
        self._contents.add(row_id, number, rank, label=row.label, origin=row.origin, group=row.group)

    def decide(self) -> None:
        """Find classes that have too few rows, and the rows that leave their natural split."""
        sizes = Counter(name for *_, label in self._contents.labelled() for name in self._classes(label))
        self.rare_classes = {label: sizes[label] for label in sorted(sizes) if sizes[label] < self.settings.min_rows}
        given, settings = self._given_splits, self.settings
        self._shares = Shares(
            validation=0 if "validation" in given else settings.validation,
            test=0 if "test" in given else settings.test,
            seed=settings.seed,
        )
        self._fixed = self._fixed_units()
        self._splits = exceptions(self._units(), self._shares, self._fixed)
        if len(self._unlabelled) or self.task == "multilabel":
            self.untrained_classes = self._untrained(sizes)

    def reason_to_leave_out(self, number: int, row: Row, row_id: str) -> tuple[Kind, str] | None:
        """Return (kind, explanation) for a row that is left out, or None.

        Raises:
            HeadstartError: the row was not added.
        """
        if number in self.unreadable:
            return "unreadable", self.unreadable[number]
        position = self._contents.position(row_id)
        if row.label is None and position is not None:  # it adds nothing, and may be of a test row
            return "duplicate", f"duplicate of {self._contents.origin(position)}, which has a label"
        contents = self._unlabelled if row.label is None else self._contents
        position = contents.position(row_id)
        if position is None:
            raise HeadstartError(f"{row.origin} changed while it was read; run `dvc repro prepare` again")
        labels = contents.labels(position)
        if len(labels) > 1:
            return "conflict", f"the same content is labelled {' and '.join(sorted(labels))}"
        if contents.kept(position) != number:
            return "duplicate", f"duplicate of {contents.origin(position)}"
        (label,) = labels
        too_few = "" if self.task == "multilabel" else self._too_few(label)
        return ("rare_class", f"class {label} has {too_few}") if too_few else None

    def kept_label(self, label: str) -> str:
        """Return the label of a row that is kept: of several labels, those that are not left out."""
        if self.task != "multilabel" or not (self.rare_classes or self.untrained_classes):
            return label
        return label_texts.from_names(name for name in self._classes(label) if not self._too_few(name))

    def order(self) -> tuple[str, ...] | None:
        """Return the ordinal classes from low to high: as `prepare.order` has them, or the numbers that are kept."""
        if self.task != "ordinal" or self.settings.order:
            return self.settings.order
        numbers = {label for *_, label in self._contents.labelled() if not self._too_few(label)}
        return tuple(sorted(numbers, key=float))

    def _classes(self, label: str) -> tuple[str, ...]:
        return label_texts.classes(label, self.task)

    def _too_few(self, label: str) -> str:
        """Say why the rows of a class are left out; empty where they are not."""
        if rows := self.rare_classes.get(label):
            return f"{counted(rows, 'row')}, prepare.min_rows is {self.settings.min_rows:,}"
        return "no training row yet" if label in self.untrained_classes else ""

    def split(self, row: Row, row_id: str) -> str:
        """Return `unlabelled`, or the given split; one that is given for no row is cut from the training rows."""
        if row.label is None:
            return UNLABELLED
        return self._split(row_id, SPLITS.index(row.split) if row.split else 0, row.group)

    def _split(self, row_id: str, rank: int, group: str | None) -> str:
        """Return the split of a labelled row; `rank`: index of the given one."""
        if split := self.labels_file_splits.get(row_id):
            return split
        if rank:
            return SPLITS[rank]
        assert self._shares is not None
        key = group or row_id
        return self._fixed.get(key) or self._splits.get(key) or self._shares.natural(key)

    def _untrained(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """Return the classes that have rows, but none for training, with these numbers of rows."""
        trained = {
            name
            for row_id, rank, group, label in self._contents.labelled()
            for name in self._classes(label)
            if self._split(row_id, rank, group) == "train"
        }
        known = sizes.keys() - {self.settings.unknown}
        return {label: sizes[label] for label in sorted(known - trained - self.rare_classes.keys())}

    @property
    def cuts_test(self) -> bool:
        """Whether test rows are cut from the training rows, since the data gives none."""
        return self.settings.test > 0 and "test" not in self._given_splits

    @property
    def is_tested(self) -> bool:
        """Whether there are to be test rows."""
        return self.settings.test > 0 or "test" in self._given_splits or "test" in self._fixed.values()

    def _fixed_units(self) -> dict[str, str]:
        """Return the splits of ids or groups that the file of labels gives.

        Raises:
            HeadstartError: it gives rows of one group to several splits.
        """
        fixed: dict[str, str] = {}
        for row_id, _, group, _ in self._contents.labelled() if self.labels_file_splits else ():
            if split := self.labels_file_splits.get(row_id):
                other = fixed.setdefault(group or row_id, split)
                if other != split:
                    raise HeadstartError(
                        f"{self.settings.labels} gives rows of the group {group!r} to {other} and to {split}, but a"
                        f" group stays in one split; empty the split of {row_id}, or make it {other}"
                    )
        return fixed

    def _units(self) -> Units:
        """Return what yields the ids, or groups, of the rows whose split is cut, with their classes."""

        def rows() -> Iterator[tuple[str, tuple[str, ...]]]:
            for row_id, rank, group, label in self._contents.labelled():
                if not rank:
                    yield group or row_id, tuple(name for name in self._classes(label) if name not in self.rare_classes)

        if not self.settings.group:
            return rows
        groups: dict[str, set[str]] = {}
        for key, labels in rows():
            groups.setdefault(key, set()).update(labels)
        return groups.items
