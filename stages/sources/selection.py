"""Which raw rows are kept, and in which split: decided after a first look at all of them.

Memory holds ids, labels and origins, not the contents themselves.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import add
from typing import Literal, TypeVar, cast

import numpy as np

from stages.common.errors import HeadstartError, counted
from stages.common.prepare_params import PrepareParams
from stages.common.setting_types import TaskName
from stages.sources.blocks import Block
from stages.sources.contents import Contents
from stages.sources.row import Row
from stages.tables import hashes, label_texts
from stages.tables.prepared import SPLITS, TABLES, UNLABELLED
from stages.tables.splitting import Shares, Units, exceptions

Value = TypeVar("Value")

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
    _fixed: dict[str, str] = field(default_factory=dict)  # splits of ids, and groups of such ids, in the file of labels
    # Once it is decided, of every content: its split, and whether it has a single label that is not left out.
    _splits: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int8))
    _are_kept: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    _are_only_unlabelled: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))  # of unlabelled contents

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
        rank = self._rank(row.split, row_id)
        self._contents.add(row_id, number, rank, label=row.label, origin=row.origin, group=row.group)

    def add_block(self, first: int, block: Block, keys: np.ndarray) -> None:
        """Note the rows of a block; their contents are not looked at.

        Args:
            first: number of the first row.
            keys: (rows, 16) uint8: the bytes of the rows' ids.
        """
        self.rows += len(keys)
        self.unreadable.update((first + place, problem) for place, problem in block.problems.items())
        is_usable = np.ones(len(keys), bool)
        is_usable[list(block.problems)] = False
        has_label = np.array([label is not None for label in block.labels], bool)
        labelled, unlabelled = np.flatnonzero(is_usable & has_label), np.flatnonzero(is_usable & ~has_label)
        lines = np.asarray(block.lines, np.int64)
        self._contents.add_all(
            keys[labelled],
            first + labelled,
            self._ranks(block, labelled, keys),
            labels=_chosen(cast("list[str]", block.labels), labelled),
            file=block.file,
            lines=lines[labelled],
            groups=_chosen(block.groups, labelled),
        )
        self._unlabelled.add_all(
            keys[unlabelled],
            first + unlabelled,
            np.zeros(len(unlabelled), np.int8),
            labels=[""] * len(unlabelled),
            file=block.file,
            lines=lines[unlabelled],
            groups=[None] * len(unlabelled),
        )

    def _ranks(self, block: Block, labelled: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """Return the ranks of labelled rows, by the splits that the data gives, which are noted."""
        if not any(set(block.splits)):
            return np.zeros(len(labelled), np.int8)
        splits = _chosen(block.splits, labelled)
        self._given_splits.update(filter(None, splits))
        ids = hashes.ids(keys[labelled]).to_pylist() if self.labels_file_splits else repeat("")
        return np.fromiter(map(self._rank, splits, ids), np.int8, len(labelled))

    def _rank(self, split: str | None, row_id: str) -> int:
        """Return the rank of a row with this given split."""
        # If a row occurs in several given splits, keep the copy in the latest: a published test file stays complete.
        return SPLITS.index(split) if split and row_id not in self.labels_file_splits else 0

    def decide(self) -> None:
        """Find classes that have too few rows, and the split of every content."""
        contents, given, settings = self._contents, self._given_splits, self.settings
        sizes = self._class_counts(contents.single(), np.zeros(len(contents), np.int8))
        self.rare_classes = {label: rows for label in sorted(sizes) if (rows := sizes[label][0]) < settings.min_rows}
        shares = Shares(
            validation=0 if "validation" in given else settings.validation,
            test=0 if "test" in given else settings.test,
            seed=settings.seed,
        )
        self._fixed = self._fixed_units()
        self._splits = self._cut(shares)
        if len(self._unlabelled) or self.task == "multilabel":
            trained = self._class_counts(contents.single() & (self._splits == 0), self._splits)
            untrained = sizes.keys() - trained.keys() - self.rare_classes.keys() - {settings.unknown}
            self.untrained_classes = {label: sizes[label][0] for label in sorted(untrained)}
        without = () if self.task == "multilabel" else {*self.rare_classes, *self.untrained_classes}
        self._are_kept = contents.single(without)
        self._are_only_unlabelled = ~contents.holds(self._unlabelled)

    def _class_counts(self, mask: np.ndarray, values: np.ndarray) -> dict[str, list[int]]:
        """Do what `Contents.counts` does by class; a content of several labels counts for each of them."""
        counts = self._contents.counts(mask, values)
        if self.task in ("single", "ordinal"):
            return counts
        by_class: dict[str, list[int]] = {}
        for label, rows in counts.items():
            for name in self._classes(label):
                by_class[name] = [*map(add, by_class.get(name, (0, 0, 0)), rows)]
        return by_class

    def _cut(self, shares: Shares) -> np.ndarray:
        """Return the split of every content, as its place in SPLITS: (contents,) int8."""
        contents, counts = self._contents, None
        ranks, splits = contents.ranks(), shares.naturals(contents.units())
        if not self.settings.group and not self._fixed:  # then every content is a unit of its own
            counts = self._class_counts(contents.single() & (ranks == 0), splits)
            counts = {name: rows for name, rows in counts.items() if name not in self.rare_classes}
        moved = exceptions(self._units(), shares, self._fixed, counts) | self._fixed
        for position, unit in enumerate(contents.units() if moved else ()):
            if unit in moved:
                splits[position] = SPLITS.index(moved[unit])
        splits = np.where(ranks > 0, ranks, splits)
        for row_id, split in self.labels_file_splits.items():
            if (place := contents.position(row_id)) is not None:
                splits[place] = SPLITS.index(split)
        return splits

    def tables(self, first: int, rows: int) -> np.ndarray:
        """Return the tables of consecutive rows that are kept, as places in TABLES: (rows,) int8.

        It is -1 for the others, about which `reason_to_leave_out` tells.

        Args:
            first: number of the first row.
        """
        tables = np.full(rows, -1, np.int8)
        numbers, positions, are_first = self._contents.rows(first, first + rows)
        is_kept = self._are_kept[positions] & are_first
        tables[numbers[is_kept] - first] = self._splits[positions[is_kept]]
        numbers, positions, are_first = self._unlabelled.rows(first, first + rows)
        is_kept = self._are_only_unlabelled[positions] & are_first
        tables[numbers[is_kept] - first] = TABLES.index(UNLABELLED)
        return tables

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
        """Return `unlabelled`, or the split of a row that is kept; one that is given for no row is cut from train."""
        if row.label is None:
            return UNLABELLED
        position = self._contents.position(row_id)
        assert position is not None
        return SPLITS[self._splits[position]]

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


def _chosen(column: Sequence[Value], places: np.ndarray) -> Sequence[Value]:
    """Return some entries of a column."""
    return column if len(places) == len(column) else [column[place] for place in places.tolist()]
