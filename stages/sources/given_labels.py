"""Labels that people gave row by row, in the file `prepare.labels`, for the rows of a table or of a folder of images.

They are joined by id. Where the table has another label, the file counts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from stages.common.errors import HeadstartError, counted, listed
from stages.common.setting_types import TaskName
from stages.sources.blocks import Block
from stages.sources.label_values import LabelForm
from stages.sources.row import Row
from stages.sources.values import ValueProblemError
from stages.tables import hashes, label_texts, labels_file
from stages.tables.labels_file import Labels
from stages.tables.prepared import UNLABELLED

MAX_NAMES = 5  # of ids and classes in a sentence


@dataclass
class GivenLabels:
    """The labels of the file, and what is known of the rows that were noted."""

    path: Path | None = None  # None where there is no such file
    labels: Labels = field(default_factory=Labels)
    task: TaskName = "single"
    stamp: tuple[int, int] | None = None  # of the file before it was read
    _ids: set[str] = field(default_factory=set)  # of noted rows, that the file labels
    _relabelled: set[str] = field(default_factory=set)  # of those, the ids whose rows have another label in the table
    _classes: set[str] = field(default_factory=set)  # of the table

    @classmethod
    def read(cls, path: str | None) -> "GivenLabels":
        """Read the file `prepare.labels`.

        Raises:
            HeadstartError: it is missing or is no such file, or a line of it is not clear.
        """
        if path is None:
            return cls()
        stamp = _stamp(Path(path))
        return cls(Path(path), labels_file.read(Path(path)), stamp=stamp)

    def texts(self) -> list[str]:
        """List the labels as the file has them."""
        return [label.label for label in self.labels.by_id.values()]

    def in_form(self, form: LabelForm) -> "GivenLabels":
        """Return these labels as the rows of a table have theirs.

        Raises:
            HeadstartError: a label is none of the task.
        """
        if form.task == "single":
            return self
        form, by_id = replace(form, is_text=True), {}
        for row_id, label in self.labels.by_id.items():
            try:
                text = form.from_value(label.label)
            except ValueProblemError as error:
                raise HeadstartError(
                    f"{self.path}: the label in line {label.line} {error}; correct it, or delete the line"
                ) from None
            if text is not None:
                by_id[row_id] = replace(label, label=text)
        return replace(self, labels=replace(self.labels, by_id=by_id), task=form.task)

    def splits(self) -> dict[str, str]:
        """Return the splits that the file gives, by id; those that it leaves to prepare are not among them."""
        return {row_id: label.split for row_id, label in self.labels.by_id.items() if label.split}

    def join(self, row: Row, row_id: str) -> Row:
        """Return the row with the label that the file has for it, if it has one and the row can be used."""
        given = self.labels.by_id.get(row_id)
        if given is None or row.problem:
            return row
        # A row of a file of unlabelled rows is of no split.
        return replace(row, label=given.label, split=None if row.split == UNLABELLED else row.split)

    def join_block(self, block: Block, keys: np.ndarray) -> None:
        """Note the rows of a block as the table has them, and give them the labels that the file has for them.

        Args:
            keys: (rows, 16) uint8: the bytes of the rows' ids.
        """
        if not self.labels.by_id:
            return
        for label in set(block.labels) - {None}:
            self._note_classes(label)
        for place, row_id in enumerate(hashes.ids(keys).to_pylist()):
            if row_id in self.labels.by_id and place not in block.problems:
                row = block.row(place)
                self.note(row, row_id)
                block.put(place, self.join(row, row_id))

    def note(self, row: Row, row_id: str) -> None:
        """Note a row as the table has it."""
        self._note_classes(row.label)
        if (given := self.labels.by_id.get(row_id)) is None:
            return
        self._ids.add(row_id)
        if row.label is not None and row.label != given.label:
            self._relabelled.add(row_id)

    def _note_classes(self, label: str | None) -> None:
        if label is not None:
            self._classes.update(label_texts.classes(label, self.task))

    def check(self, data: Path) -> None:
        """Raise a HeadstartError if the file has labels, but for none of the noted rows."""
        if self.labels.by_id and not self._ids:
            raise HeadstartError(
                f"{self.path} has labels of {counted(len(self.labels.by_id), 'row')}, but none of them is in {data};"
                " set prepare.labels to the file of these rows, or move it away"
            )

    def remarks(self, data: Path) -> Iterator[str]:
        """Yield sentences on damaged lines, several labels of a row, and what does not fit the table; after `check`."""
        yield from self.labels.remarks
        by_id = self.labels.by_id
        if missing := [row_id for row_id in by_id if row_id not in self._ids]:
            yield (
                f"{counted(len(missing), 'label')} of {self.path} {'is' if len(missing) == 1 else 'are'} of no usable"
                f" row of {data}, and {'counts' if len(missing) == 1 else 'count'} for nothing: "
                + listed((f"{row_id[:40]} in line {by_id[row_id].line}" for row_id in missing), limit=MAX_NAMES)
            )
        if self._relabelled:
            row_id = next(row_id for row_id in by_id if row_id in self._relabelled)
            yield (
                f"{counted(len(self._relabelled), 'row')} {'has' if len(self._relabelled) == 1 else 'have'} another"
                f" label in {self.path} than in {data}, such as {by_id[row_id].label!r} in line {by_id[row_id].line};"
                f" {self.path} counts"
            )
        classes = dict.fromkeys(
            name
            for row_id in by_id
            if row_id in self._ids
            for name in label_texts.classes(by_id[row_id].label, self.task)
        )
        if self._classes and (new := [label for label in classes if label not in self._classes]):
            yield (
                f"{self.path} has {'a class' if len(new) == 1 else 'classes'} that {data} lacks:"
                f" {listed(map(repr, new), limit=MAX_NAMES)}; if one was renamed there, rename it in {self.path} too"
            )
        if self.path and _stamp(self.path) != self.stamp:  # DVC takes the file's hash when the stage has ended
            yield (
                f"{self.path} changed while this ran, and DVC takes its new labels for read;"
                " `dvc repro --force prepare` reads them, and so does `dvc repro` after the next label"
            )


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return size and time of a file, by which a change is seen; None where it is missing."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
