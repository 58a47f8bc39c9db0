"""What prepare kept and left out: counts, whether a classifier can be trained on it, and remarks."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.common.errors import counted, listed
from stages.common.params import PrepareParams
from stages.sources import image_folders, similar_labels, table_folders, values
from stages.sources.selection import KINDS, Selection
from stages.tables import prepared, splitting

LABEL = "`python -m stages.label`"
LABEL_RANDOM = f"{LABEL} asks you for labels of random ones"


@dataclass
class Counts:
    """What the second pass wrote and left out."""

    classes: dict[str, Counter[str]] = field(default_factory=lambda: {split: Counter() for split in prepared.SPLITS})
    unlabelled: int = 0
    left_out: Counter[str] = field(default_factory=Counter)  # by kind of reason

    def add(self, label: str | None, split: str) -> None:
        """Count a row that is kept."""
        if label is None:
            self.unlabelled += 1
        else:
            self.classes[split][label] += 1

    def rows(self, split: str) -> int:
        return self.classes[split].total()

    def labelled(self, label: str) -> int:
        """Count the rows of a class in all splits."""
        return sum(self.classes[split][label] for split in prepared.SPLITS)

    def labels(self) -> list[str]:
        return sorted(set().union(*self.classes.values()))


def problem(counts: Counts, settings: PrepareParams, *, is_tested: bool) -> str | None:
    """Say why no classifier can be trained and judged on these rows, and what to do; None where it can."""
    ask = f"; {LABEL} asks you for labels" if counts.unlabelled else ""
    labels = counts.labels()
    if len(labels) < 2:
        nothing = "no labelled rows" if counts.unlabelled else "no usable rows"
        where = "" if image_folders.is_image_folder(Path(settings.data)) else f" in column {settings.label}"
        return (
            f"{settings.data} has {'only one class, ' + labels[0] if labels else nothing};"
            f" a classifier needs two classes{where}{ask}"
        )
    if missing := [label for label in labels if not counts.classes["train"][label]]:
        return (  # while rows wait for labels, the selection leaves such classes out
            f"{settings.data}: no training row for {listed(missing, limit=10)}, since the data gives all of its rows to"
            f" other splits; add training rows of it, or leave it out{_similar(labels)}"
        )
    if is_tested and not counts.rows("test"):
        more = "raise prepare.test, or add rows: a class needs two for one to test"
        return f"{settings.data} leaves no test rows; {LABEL_RANDOM if counts.unlabelled else more}"
    if not is_tested and sum(counts.labelled(label) > 1 for label in labels) < 2:
        return (
            f"{settings.data} leaves no test rows, since prepare.test is 0, and a cross-validation needs two classes of"
            f" two rows; add rows{ask}"
        )
    return None


def _similar(labels: list[str]) -> str:
    """Say which labels look like one class, the first three groups of them; empty where none do."""
    return "".join(f"; {' and '.join(names)} look like one class" for names in similar_labels.groups(labels)[:3])


def summary(rows: int, counts: Counts) -> dict[str, Any]:
    """Return the content of summary.json."""
    labels = counts.labels()
    content: dict[str, Any] = {
        "rows": rows,
        "kept": {split: counts.rows(split) for split in prepared.SPLITS},
        "left_out": {kind: counts.left_out[kind] for kind in KINDS},
        "classes": {label: {split: counts.classes[split][label] for split in prepared.SPLITS} for label in labels},
    }
    if counts.unlabelled:
        content["unlabelled"] = counts.unlabelled
    if similar := similar_labels.groups(labels):
        content["similar_classes"] = similar
    return content


def similar_classes(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for all labels that look like one class, by the content of summary.json."""
    for names in summary.get("similar_classes", ()):
        yield f"{' and '.join(map(repr, names))} look like one class; correct the table if they are"


def remarks(selection: Selection, counts: Counts, data: Path) -> Iterator[str]:
    """Yield sentences on unlabelled rows, labels that may be none, what was left out, few test rows, and DVC's view."""
    if counts.unlabelled:
        yield (
            f"{counted(counts.unlabelled, 'row')} without a label {'waits' if counts.unlabelled == 1 else 'wait'} to be"
            f" used: {LABEL} asks you for their labels, those worth most first"
        )
        if trouble := problem(counts, selection.settings, is_tested=selection.is_tested):
            yield trouble
    if unclear := [label for label in counts.labels() if values.looks_missing(label)]:
        number = sum(map(counts.labelled, unclear))
        rows = f"{counted(number, 'row')} of class {' and '.join(map(repr, unclear))} {'is' if number == 1 else 'are'}"
        yield f"{rows} kept; if that stands for no label, leave it empty"
    if selection.rare_classes:
        yield (
            f"classes with fewer than prepare.min_rows = {selection.settings.min_rows:,} rows are left out:"
            f" {listed(selection.rare_classes)}"
        )
    if classes := selection.untrained_classes:
        hint = _similar(sorted([*counts.labels(), *classes]))
        yield (
            f"no training row yet for {listed(classes, limit=10)}: {counted(sum(classes.values()), 'row')} of"
            f" {'that class is' if len(classes) == 1 else 'these classes are'} left out until there is one{hint};"
            f" {LABEL} suggests rows for training"
        )
    if selection.cuts_test and 0 < counts.rows("test") < splitting.MIN_TEST_ROWS:
        remedy = (
            f"with prepare.test: 0, evaluate judges all {sum(map(counts.rows, prepared.SPLITS)):,} rows by"
            " cross-validation instead"
        )
        yield (
            f"{counted(counts.rows('test'), 'test row')} will tell the accuracy to about"
            f" ±{splitting.widest_half(counts.rows('test')):.2f};"
            # The suggested rows of a file of labels are the hard ones, by which nothing should be judged.
            f" {LABEL_RANDOM if selection.labels_file_splits and counts.unlabelled else remedy}"
        )
    if selection.names_files and data.is_file():
        yield (
            f"DVC watches {data}, but not the images that it names; to have both watched, name the table"
            f" {table_folders.train_name(data)} and set prepare.data to its folder"
        )
