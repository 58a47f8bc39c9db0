"""One raw row, the columns that it comes from, and the names of splits."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from stages.common.errors import HeadstartError, did_you_mean, listed
from stages.sources.label_values import ONE_CLASS, LabelForm
from stages.tables.prepared import TABLES, Spans

MAX_SHOWN = 100  # characters of a column's name in an error


@dataclass(slots=True)  # frozen ones take three times as long to make, and there are millions
class Row:
    """One raw row. A row that cannot be used has a `problem`, and its `content` is empty."""

    origin: str  # file and line, or the file of an image
    content: str | bytes  # text, or the encoded bytes of an image
    name: str | None = None  # of an image file, as the source spells it
    label: str | None = None  # None for an unlabelled row
    group: str | None = None
    slice: str | None = None
    split: str | None = None  # that the data gives; `unlabelled` for a row of a file of that name
    problem: str | None = None
    other_kind: str | None = None  # format of an image, if its name stands for another one
    spans: Spans | None = None  # where the texts of two columns are in `content`
    record: dict[str, Any] | None = None  # all columns of a table, if `Columns.keep_all` asks for them
    skipped: bool = False  # no row at all, but a file or folder that is listed with its problem and not counted


@dataclass(frozen=True, slots=True)
class Reading:
    """How files of tables are read."""

    encoding: str = "utf-8"  # of text files that are not UTF-8 and have no mark
    sheet: str | None = None  # of spreadsheets; None for the first
    follow_links: bool = False  # whether links may lead out of the folder of the images or tables


DEFAULT_READING = Reading()


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns to read; None if there is no such column."""

    input: str | tuple[str, ...]  # the content; several are joined to one text
    label: str | tuple[str, ...] | None = None  # the class; several: yes or no, one per label
    group: str | None = None
    slice: str | None = None
    split: str | None = None
    form: LabelForm = ONE_CLASS  # how labels are read
    keep_all: bool = False  # whether rows carry all columns of their table

    def inputs(self) -> tuple[str, ...]:
        """List the columns with the content."""
        return (self.input,) if isinstance(self.input, str) else self.input

    def labels(self) -> tuple[str, ...]:
        """List the columns with the labels."""
        return (self.label,) if isinstance(self.label, str) else self.label or ()

    def names(self) -> list[str]:
        """List the columns to read."""
        others = (*self.labels(), self.group, self.slice, self.split)
        return [*self.inputs(), *(name for name in others if name is not None)]

    def positions(self, header: list[str]) -> dict[str, int]:
        """Map the columns to read to their positions in a header; of equal names, the later ones get a number."""
        if not self.keep_all:
            return {name: header.index(name) for name in self.names()}
        positions: dict[str, int] = {}
        for index, name in enumerate(header):
            numbered = (f"{name}.{number}" for number in count(1))
            positions[name if name not in positions else next(new for new in numbered if new not in header)] = index
        return positions


# Names of files, folders and column values, in lower case, to splits.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "test": "test",
    "testing": "test",
}

# Names of files and folders of rows without labels, in lower case; `unsupervised` on the hub.
UNLABELLED_NAMES = ("unlabelled", "unlabeled", "unsupervised")

# Words that seem to be splits, beside those that are.
MEANT_SPLITS = {
    **SPLIT_NAMES,
    **dict.fromkeys(("tr", "trn"), "train"),
    **dict.fromkeys(("vl", "devel", "development"), "validation"),
    **dict.fromkeys(("te", "tst", "holdout"), "test"),
}
SPLIT_WORD = re.compile(rf"({'|'.join(sorted(MEANT_SPLITS, key=len, reverse=True))})(set|data|images?|imgs?)?")


def meant_split(name: str) -> str | None:
    """Return the split that a folder such as `test_set` or `seg-train` seems to hold, or None."""
    words = re.split(r"[\W_\d]+", name.lower())
    return next((MEANT_SPLITS[match[1]] for word in words if (match := SPLIT_WORD.fullmatch(word))), None)


def utf8_name(name: str) -> str:
    """Replace what is not UTF-8 in a file name, so that it can be written into a table."""
    return os.fsencode(name).decode("utf-8", "replace")


def by_split(splits_and_paths: Iterable[tuple[str, Path]], *, no_train_error: str) -> dict[Path, str | None]:
    """Map paths to their splits, training rows first.

    Raises:
        HeadstartError: two paths hold one split, or none holds train: `no_train_error`.
    """
    paths: dict[str, Path] = {}
    for split, path in splits_and_paths:
        if split in paths:
            raise HeadstartError(f"{paths[split]} and {path} both hold the {split} split; keep one of them")
        paths[split] = path
    if "train" not in paths:
        raise HeadstartError(no_train_error)
    return {paths[split]: split for split in TABLES if split in paths}


def require(path: Path, columns: Columns, header: list[str]) -> None:
    """Raise a HeadstartError unless the header has all columns, each once."""
    twice = sorted({name for name in columns.names() if header.count(name) > 1})
    if twice:
        raise HeadstartError(f"{path} has two columns named {twice[0]}; rename one")
    for name in columns.names():
        if name not in header:
            shown = [f"{column[:MAX_SHOWN]}…" if len(column) > MAX_SHOWN else column for column in header]
            raise HeadstartError(f"{path} has no column {name}; it has {listed(shown)}{did_you_mean(name, header)}")
