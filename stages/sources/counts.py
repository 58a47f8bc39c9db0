"""Numbers of rows that prepare kept and left out."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from stages.common.setting_types import TaskName
from stages.tables import label_texts, prepared

MIN_DIVIDED_ROWS = 4  # of a cross-validation, where rows have not one class each


@dataclass
class Counts:
    """What the second pass wrote and left out."""

    task: TaskName = "single"
    kept: Counter[str] = field(default_factory=Counter)  # labelled rows by split
    # Labelled rows by class; a row of several labels counts for each of them.
    classes: dict[str, Counter[str]] = field(default_factory=lambda: {split: Counter() for split in prepared.SPLITS})
    lowest: float | None = None  # of numbers
    highest: float | None = None
    unlabelled: int = 0
    unknown: Counter[str] = field(default_factory=Counter)  # rows of the class `prepare.unknown`, by split
    left_out: Counter[str] = field(default_factory=Counter)  # by kind of reason

    def add(self, labels: Mapping[str | None, int], table: str) -> None:
        """Count rows that are kept in a table; labels: how many have each."""
        for label, rows in labels.items():
            if label is None:
                self.unlabelled += rows
                continue
            self.kept[table] += rows
            for name in label_texts.classes(label, self.task):
                self.classes[table][name] += rows
            if self.task == "regression":
                number = label_texts.number(label)
                self.lowest = number if self.lowest is None else min(number, self.lowest)
                self.highest = number if self.highest is None else max(number, self.highest)

    def rows(self, split: str) -> int:
        """Count the labelled rows of a split."""
        return self.kept[split]

    def labelled(self, label: str) -> int:
        """Count the rows of a class in all splits."""
        return sum(self.classes[split][label] for split in prepared.SPLITS)

    def labels(self) -> list[str]:
        """List the classes, or of rows of several labels these."""
        return sorted(set().union(*self.classes.values()))

    def untrained(self) -> list[str]:
        """List the classes without a training row."""
        return [label for label in self.labels() if not self.classes["train"][label]]

    def untested(self) -> list[str]:
        """List the classes without a test row."""
        return [label for label in self.labels() if not self.classes["test"][label]]

    @property
    def has_one_class_per_row(self) -> bool:
        """Whether rows are divided into classes."""
        return self.task in ("single", "ordinal")

    def can_be_divided(self) -> bool:
        """Return whether the rows suffice for a cross-validation."""
        if self.has_one_class_per_row:
            return sum(self.labelled(label) > 1 for label in self.labels()) >= 2
        return self.kept.total() >= MIN_DIVIDED_ROWS
