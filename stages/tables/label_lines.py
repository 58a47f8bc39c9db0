"""The lines of a file of labels, whose header, delimiter and order of columns a spreadsheet may have changed.

A line is one record: nothing goes over several, so that a damaged line harms no other.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stages.common.errors import HeadstartError, did_you_mean, listed, not_utf8

COLUMNS = ("id", "name", "label", "split", "time")
NEEDED = ("id", "label", "split")  # to read the file; columns of others are ignored
DELIMITERS = ",;\t"  # which spreadsheets write
BOM = b"\xef\xbb\xbf"
MAX_SHOWN = 100  # characters of a column's name in an error


@dataclass(frozen=True)
class Layout:
    """How the lines of a file are divided."""

    delimiter: str = ","
    header: tuple[str, ...] = COLUMNS
    line: int = 0  # of the header; 0 where there is none yet


def read_layout(path: Path, content: bytes) -> Layout:
    """Read the header.

    Raises:
        HeadstartError: it lacks a column, or has one twice.
    """
    start = next(((number, line) for number, line in enumerate(content.splitlines(), 1) if line.strip()), None)
    if start is None:
        return Layout()
    number, line = start
    text = _decoded(path, number, line)
    names: tuple[str, ...]
    candidates = ((delimiter, tuple(map(str.strip, _fields(text, delimiter) or ()))) for delimiter in DELIMITERS)
    delimiter, names = max(candidates, key=lambda candidate: len(candidate[1]))
    if twice := [name for name in COLUMNS if names.count(name) > 1]:
        raise HeadstartError(f"{path} has two columns named {twice[0]}; rename one")
    if missing := [name for name in NEEDED if name not in names]:
        shown = listed([name[:MAX_SHOWN] for name in names])
        raise HeadstartError(
            f"{path} has no column {missing[0]} in line {number}; it has {shown}, but its header must be"
            f" {','.join(COLUMNS)}{did_you_mean(missing[0], names)}"
        )
    return Layout(delimiter, names, number)


def as_line(layout: Layout, values: Mapping[str, str]) -> str:
    """Return a line in the order of the header, where columns of others stay empty."""
    out = io.StringIO()
    csv.writer(out, delimiter=layout.delimiter, lineterminator="\n").writerow(
        [values.get(name, "") for name in layout.header]
    )
    return out.getvalue()


def records(path: Path, content: bytes, layout: Layout) -> Iterator[tuple[int, dict[str, str] | None]]:
    """Yield line and values of every line below the header that is not empty; None for a damaged one.

    The header of another such file, as of files that were joined, is left out.

    Raises:
        HeadstartError: a line has too many fields, or is not UTF-8.
    """
    for number, line in enumerate(content.splitlines(), 1):
        if number > layout.line and line.strip(b" \t,;"):
            record = _record(path, number, line.removeprefix(BOM), layout)
            if record is None or record["id"] != "id":
                yield number, record


def _record(path: Path, number: int, line: bytes, layout: Layout) -> dict[str, str] | None:
    fields = _fields(line.decode(errors="replace"), layout.delimiter)
    if not fields or len(fields) < len(layout.header) or b"\0" in line:  # a machine that stops may leave NULs
        return None
    if len(fields) > len(layout.header):
        raise HeadstartError(
            f"{path} has {len(fields)} fields in line {number}, but its header has {len(layout.header)}; quote fields"
            " that hold the separator"
        )
    _decoded(path, number, line)
    return dict(zip(layout.header, fields, strict=True))


def _decoded(path: Path, number: int, line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise not_utf8(path, f"in line {number}") from None


def _fields(line: str, delimiter: str) -> list[str] | None:
    """Divide a line; None where a quote does not close."""
    try:
        fields = next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return None
    if len(fields) == 1 and delimiter in fields[0]:  # a spreadsheet that expects another delimiter quotes whole lines
        return _fields(fields[0], delimiter)
    return fields
