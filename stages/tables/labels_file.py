"""The file of labels that people give row by row: CSV in UTF-8, to which lines are only ever appended.

Its columns: id, of the row as in the prepared tables; name, for people alone: the beginning of a text, or the name of a
picture; label, empty where a label was taken back; split, or empty where prepare decides; time, in UTC.
Several lines may have one id: the last one counts.
"""

import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from stages.common import locks
from stages.common.errors import HeadstartError, counted, listed, one_line, printable
from stages.tables import label_lines
from stages.tables.prepared import SPLITS

MAX_NAME = 200  # characters
MAX_WAIT = 10  # seconds for another process that appends
ID = re.compile("[0-9a-f]{32}")
NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?(e[+-]?\d+)?", re.IGNORECASE)
LINE_BREAK = re.compile("[\r\n\0]")
# The beginning of a formula, at the start of a cell or behind what another spreadsheet takes for the end of one.
FORMULA = re.compile(r"((?:^|[,;\t|])[\s\"]*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")


@dataclass(frozen=True)
class NewLabel:
    """A line to append."""

    id: str
    name: str  # the text or the picture's name; it is shortened here
    label: str  # "" takes the label back
    split: str = ""  # train, validation or test; "" leaves it to prepare


@dataclass(frozen=True)
class Label:
    """The label of a row."""

    label: str
    split: str | None  # None leaves it to prepare
    line: int


@dataclass
class Labels:
    """The labels of a file, and what is to be said of it."""

    by_id: dict[str, Label] = field(default_factory=dict)  # without those that were taken back
    remarks: list[str] = field(default_factory=list)


def append(path: Path, rows: Sequence[NewLabel]) -> str | None:
    """Append lines, on the disk when this returns: all of them or none. A new file gets its header first.

    A spreadsheet may have changed the delimiter or the order of the columns: lines follow the header that is there.

    Returns:
        A sentence to print where the file's last line was damaged; else None.

    Raises:
        HeadstartError: a value cannot be stored, or the file cannot be written.
    """
    for row in rows:
        _check(row)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with locks.held(path, wait=MAX_WAIT) as is_ours:
        if not is_ours:
            raise HeadstartError(f"{path} is being written by another process; wait until it ends, or stop it")
        content = _bytes(path) if path.exists() else b""
        layout = label_lines.read_layout(path, content)
        lines = [] if layout.line else [label_lines.as_line(layout, {name: name for name in layout.header})]
        for row in rows:
            values = {"id": row.id, "name": safe_name(row.name), "label": row.label, "split": row.split, "time": now}
            lines.append(label_lines.as_line(layout, values))
        is_torn = bool(layout.line) and not content.endswith((b"\n", b"\r"))
        _write(path, "\n" * is_torn + "".join(lines))
    if is_torn:
        return f"{path}: the last line had no end, as of a program that was stopped while it wrote; a new one was begun"
    return None


def read(path: Path) -> Labels:
    """Read the labels.

    Raises:
        HeadstartError: the file is missing, is no such file, or has a line that is not clear: an unknown split,
            too many fields, or an id that a spreadsheet has turned into a number.
    """
    content = _bytes(path)
    labels, relabelled, damaged = Labels(), {}, []
    for number, record in label_lines.records(path, content, label_lines.read_layout(path, content)):
        if record is None:
            damaged.append(number)
            continue
        row_id, label = _label(path, number, record)
        earlier = labels.by_id.pop(row_id, None)
        if label.label:
            labels.by_id[row_id] = label
            if earlier and (earlier.label, earlier.split) != (label.label, label.split):
                relabelled[row_id] = earlier.line, number
    if damaged:
        lines = f"line {damaged[0]} is" if len(damaged) == 1 else f"lines {listed(damaged, limit=5)} are"
        labels.remarks.append(f"{path}: {lines} damaged and left out; label the rows again")
    if relabelled:
        (row_id, (first, last)), *_ = relabelled.items()
        labels.remarks.append(
            f"{path}: {counted(len(relabelled), 'row')} {'has' if len(relabelled) == 1 else 'have'} several labels,"
            f" such as {row_id} in lines {first} and {last}; the last one counts"
        )
    return labels


def safe_name(text: str) -> str:
    """Return the beginning of a text on one line, in a form that no spreadsheet takes for a formula."""
    start = " ".join(text[: 10 * MAX_NAME].split())
    shown = printable(start if len(start) <= MAX_NAME else f"{start[: MAX_NAME - 1]}…")
    return FORMULA.sub(r"\1'", shown)


def _check(row: NewLabel) -> None:
    """Raise a HeadstartError if a value cannot be stored as it is."""
    if not ID.fullmatch(row.id):
        raise HeadstartError(f"{row.id!r} is no id of a row, which has 32 digits from 0 to f")
    if row.split and row.split not in SPLITS:
        raise HeadstartError(f"{row.split!r} is no split; it must be {', '.join(SPLITS)} or empty")
    if LINE_BREAK.search(row.label) or row.label != row.label.strip():
        raise HeadstartError(
            f"the label {row.label!r} has a line break, a NUL or spaces around it; name the class without"
        )
    try:
        row.label.encode()
    except UnicodeEncodeError:
        raise HeadstartError(f"the label {row.label!r} is not valid Unicode; name the class without it") from None


def _write(path: Path, text: str) -> None:
    """Append `text`; where that fails, the file stays as it was."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.stat().st_mode & stat.S_IWUSR:
            raise PermissionError("it is read-only, as DVC makes files that it links to its cache")
        with path.open("ab", buffering=0) as file:
            size, rest = file.tell(), memoryview(text.encode())
            try:
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):
                    file.truncate(size)
                raise
    except OSError as error:
        raise HeadstartError(
            f"{path} cannot be written ({one_line(error)}); close it in other programs and make it writable, after"
            " `dvc add` by `dvc unprotect`"
        ) from None


def _bytes(path: Path) -> bytes:
    """Read the file.

    Raises:
        HeadstartError: it is missing, a folder, or cannot be read.
    """
    if path.is_dir():
        raise HeadstartError(f"{path} is a folder; name the file of labels as prepare.labels, such as data/labels.csv")
    try:
        return path.read_bytes().removeprefix(label_lines.BOM)
    except FileNotFoundError:
        raise HeadstartError(
            f"{path} does not exist; restore it with `git checkout {path}`, or write a file of one line,"
            f" {','.join(label_lines.COLUMNS)}"
        ) from None
    except OSError as error:
        raise HeadstartError(f"{path} cannot be read ({one_line(error)}); close it in other programs") from None


def _label(path: Path, number: int, record: dict[str, str]) -> tuple[str, Label]:
    """Return the id and the label of a line.

    Raises:
        HeadstartError: the line's meaning is not clear.
    """
    row_id, label, split = (record[name].strip() for name in label_lines.NEEDED)
    row_id, split = row_id.lower(), split.lower()
    if NUMBER.fullmatch(row_id) and not ID.fullmatch(row_id):
        raise HeadstartError(
            f"{path}: the id in line {number} is {record['id']!r}, a number that a spreadsheet made of it; bring the"
            " line back from Git, or delete it and label the row again"
        )
    if split and split not in SPLITS:
        raise HeadstartError(
            f"{path}: the split in line {number} is {record['split']!r}; it must be {', '.join(SPLITS)} or empty"
        )
    return row_id, Label(label, split or None, number)
