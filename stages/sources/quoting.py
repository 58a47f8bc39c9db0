"""Divide delimited lines into fields, and tell whether a file's quotes enclose fields or are ordinary characters.

A quote that starts a field and does not end it joins rows until the next quote. Such rows are never joined silently: a
file of tabs or bars that plainly does not quote is read line by line, and any other is an error at the opening quote.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING

from stages.common.errors import HeadstartError, counted, one_line
from stages.sources import text_files
from stages.sources.row import Columns, Reading

if TYPE_CHECKING:
    import _csv

UNQUOTED_DELIMITERS = ("\t", "|")  # of tools that write no quotes, since texts hold no delimiter
MAX_TRAIT_LINES = 20_000  # of a file from which the traits of its columns are learnt
BLOCK_LINES = 4096  # that are read at a time
MAX_RECORD_LINES = 1000  # of one record that are kept for a closer look
FIX = 'write a quote inside a field twice ("") and enclose the field in quotes'


class QuoteError(HeadstartError):
    """A quote opens a field and does not close it properly."""


@dataclass(frozen=True)
class Layout:
    """How the lines of a file are divided."""

    delimiter: str
    header: list[str]
    header_line: int  # from 1
    is_spaced: bool = False  # whether a space follows the delimiters
    has_quoted_header: bool = False
    is_quoted: bool = True  # whether quotes enclose fields


@dataclass(slots=True)
class Record:
    """The fields of one row, until the next row is read."""

    fields: list[str]
    line: int  # where it starts, from 1
    last: int  # where it ends
    lines: list[str]  # as they are in the file, at most MAX_RECORD_LINES


@dataclass
class _Scan:
    """What a file's rows tell about its quotes."""

    rows: int = 0  # of one line
    rows_with_quotes: int = 0
    has_doubled: bool = False  # whether quotes in enclosed fields are doubled, as only tools that quote do
    labels: set[str] = field(default_factory=set)
    traits: dict[int, set[str]] = field(default_factory=dict)  # of the values in each column, by position
    error: QuoteError | None = None
    # First and last line of records over several lines, and the fields that each line has if it is a row.
    joined: list[tuple[int, int, list[list[str]]]] = field(default_factory=list)


def divided(path: Path, layout: Layout, reading: Reading) -> Iterator[Record]:
    """Yield the rows below the header; blank lines are none.

    Raises:
        QuoteError: a quote opens a field and does not close where the field ends.
    """
    with _opened(path, layout, reading) as lines:
        records = _divide(lines, layout.header_line, path, layout)
        next(records, None)
        yield from records


def blocks(path: Path, layout: Layout, reading: Reading) -> Iterator[tuple[Sequence[int], list[str]]]:
    """Yield the lines where rows start, and all of their fields in one list, some thousand rows at a time.

    The rows are those of `divided`.

    Raises:
        QuoteError: as `divided` does, but before any of the rows that were read at that time.
        HeadstartError: a row has more or fewer fields than the header.
    """
    with _opened(path, layout, reading) as lines:
        header = next(_divide(lines, layout.header_line, path, layout), None)
        line = header.last + 1 if header else 0
        while texts := list(islice(lines, BLOCK_LINES)):
            end = line + len(texts)
            if layout.is_quoted and '"' in "".join(texts):
                numbers, rows = [], []
                for record in _divide(chain(texts, lines), line, path, layout):  # the last may end behind these lines
                    numbers.append(record.line)
                    rows.append(record.fields)
                    if (line := record.last + 1) >= end:
                        break
                yield from _whole(path, numbers, rows, layout)
            elif fields := _split(texts, layout):
                yield range(line, end), fields
            else:  # every line is a row
                rows = list(_reader(texts, layout))
                places = [place for place, row in enumerate(rows) if not _is_blank(row, layout)]
                yield from _whole(path, [line + place for place in places], [rows[place] for place in places], layout)
            line = max(line, end)


def _whole(
    path: Path, numbers: list[int], rows: list[list[str]], layout: Layout
) -> Iterator[tuple[Sequence[int], list[str]]]:
    """Yield the rows up to the first that has more or fewer fields than the header, which is an error."""
    width = len(layout.header)
    whole = next((place for place, fields in enumerate(rows) if len(fields) != width), len(rows))
    if whole:
        yield numbers[:whole], [*chain.from_iterable(rows[:whole])]
    if whole < len(rows):
        raise HeadstartError(
            f"{path} has {counted(len(rows[whole]), 'field')} in line {numbers[whole]}, but its header has {width};"
            " quote fields that hold the separator or a line break"
        )


@contextmanager
def _opened(path: Path, layout: Layout, reading: Reading) -> Iterator[Iterator[str]]:
    """Give the lines of a file from its header on."""
    csv.field_size_limit(text_files.MAX_LINE)
    with text_files.opened(path, reading) as lines:
        for _ in range(layout.header_line - 1):
            next(lines, None)
        yield lines


def _divide(lines: Iterator[str], first: int, path: Path, layout: Layout) -> Iterator[Record]:
    """Yield the rows of lines that are not blank; `first`: the number of the first line."""
    taken: list[str] = []
    reader = _reader(_noted(lines, taken), layout)
    line = first
    try:
        while True:
            line = first + reader.line_num
            taken.clear()
            fields = next(reader, None)
            if fields is None:
                return
            if not _is_blank(fields, layout):
                yield Record(fields, line, first + reader.line_num - 1, taken)
    except csv.Error as error:
        raise not_closed(path, line, taken, layout.delimiter, one_line(error)) from None


def _split(texts: list[str], layout: Layout) -> list[str]:
    """Return the fields of lines in which no quote encloses one; none where only the csv module can divide them."""
    delimiter, width, joined = layout.delimiter, len(layout.header), "".join(texts).replace("\r\n", "\n")
    is_plain = width > 1 and not layout.is_spaced and "\r" not in joined
    if not is_plain or set(map(str.count, texts, repeat(delimiter))) != {width - 1}:
        return []
    return joined.removesuffix("\n").replace("\n", delimiter).split(delimiter)


def _reader(lines: Iterable[str], layout: Layout) -> "_csv.Reader":
    return csv.reader(
        lines,
        delimiter=layout.delimiter,
        strict=True,
        skipinitialspace=layout.is_spaced,
        quoting=csv.QUOTE_MINIMAL if layout.is_quoted else csv.QUOTE_NONE,
    )


def _is_blank(fields: list[str], layout: Layout) -> bool:
    """Return whether a line holds nothing, or only spaces; in a table of one column these are a row's empty value."""
    return not fields or (len(fields) == 1 < len(layout.header) and not fields[0].strip())


def _noted(lines: Iterator[str], taken: list[str]) -> Iterator[str]:
    """Yield the lines, and append them to `taken` while it is short."""
    for line in lines:
        if len(taken) < MAX_RECORD_LINES:
            taken.append(line)
        yield line


def encloses(path: Path, layout: Layout, columns: Columns, reading: Reading) -> bool:
    """Return whether quotes enclose fields in this file; if not, they are characters like any other.

    Raises:
        QuoteError: they enclose fields, and one of them does not close, or closes behind rows of their own.
    """
    if not text_files.holds(path, b'"'):
        return True
    scan = _scan(path, layout, columns, reading)
    error = scan.error or _joined_rows(path, layout, columns, scan)
    if error is None:
        return True
    quotes = layout.has_quoted_header or scan.has_doubled or scan.rows_with_quotes * 2 > scan.rows
    if layout.delimiter in UNQUOTED_DELIMITERS and not quotes:
        plain = replace(layout, is_quoted=False)
        if all(len(record.fields) == len(layout.header) for record in divided(path, plain, reading)):
            return False
    raise error


def _scan(path: Path, layout: Layout, columns: Columns, reading: Reading) -> _Scan:
    """Read a file as one with enclosed fields, up to the first that is not enclosed properly."""
    scan, width = _Scan(), len(layout.header)
    label = layout.header.index(columns.label) if isinstance(columns.label, str) else None
    others = _other_columns(layout, columns)
    try:
        for record in divided(path, layout, reading):
            is_odd = len(record.fields) != width
            if len(record.lines) > 1:
                if is_odd:
                    raise _wrong_width(path, record, width)
                parts = _parts(record, layout)
                if width > 1 and all(len(fields) == width for fields in parts):
                    scan.joined.append((record.line, record.last, parts))
            elif not is_odd:
                _note(scan, record, label, others)
            elif '"' in record.lines[0] and layout.delimiter in UNQUOTED_DELIMITERS:
                raise _wrong_width(path, record, width)
    except QuoteError as error:
        scan.error = error
    return scan


def _note(scan: _Scan, record: Record, label: int | None, others: list[int]) -> None:
    """Note what a row of one line tells of its columns; `label` and `others` are positions of columns."""
    scan.rows += 1
    scan.rows_with_quotes += '"' in record.lines[0]
    scan.has_doubled |= '""' in record.lines[0] and any('"' in value for value in record.fields)
    if label is not None:
        scan.labels.add(record.fields[label].strip())
    if record.line < MAX_TRAIT_LINES:
        for position in others:
            scan.traits.setdefault(position, set()).update(_traits(record.fields[position]))


def _parts(record: Record, layout: Layout) -> list[list[str]]:
    """Divide each line of a record at every delimiter."""
    lines = (line.rstrip("\r\n").split(layout.delimiter) for line in record.lines)
    return [[(value.lstrip(" ") if layout.is_spaced else value).strip('"') for value in line] for line in lines]


def _joined_rows(path: Path, layout: Layout, columns: Columns, scan: _Scan) -> QuoteError | None:
    """Return the error for the first record whose every line looks like a row; None if there is none."""
    for line, last, parts in scan.joined:
        if all(_looks_like_row(fields, layout, columns, scan) for fields in parts) and _labels_fit(
            parts, layout, columns, scan
        ):
            return QuoteError(
                f"{path} opens a quote in line {line} that closes in line {last}, and each line up to there looks like"
                f" a row of its own; {FIX}, or delete it"
            )
    return None


def _looks_like_row(fields: list[str], layout: Layout, columns: Columns, scan: _Scan) -> bool:
    """Return whether the values beside the content are as in other rows: only digits, no spaces, not empty.

    A line of a text may hold as many commas as a row, but there a space, the line's end or any words follow.
    """
    others = _other_columns(layout, columns)
    alike = all(_traits(fields[position]) <= scan.traits.get(position, set()) for position in others)
    return alike and bool(others or columns.label or layout.delimiter in UNQUOTED_DELIMITERS)


def _labels_fit(parts: list[list[str]], layout: Layout, columns: Columns, scan: _Scan) -> bool:
    """Return whether most lines of a record have a label that other rows have, and the rest one that looks like it.

    The record may hold all rows of a class.
    """
    if not isinstance(columns.label, str) or not scan.labels:
        return True
    labels = [fields[layout.header.index(columns.label)].strip() for fields in parts]
    traits = set().union(*map(_traits, scan.labels))
    known = sum(label in scan.labels for label in labels)
    return known * 2 > len(labels) and all(label in scan.labels or _traits(label) <= traits for label in labels)


def _other_columns(layout: Layout, columns: Columns) -> list[int]:
    """List the positions of the columns beside the content, but for the label."""
    known = (*columns.inputs(), columns.label)
    return [position for position, name in enumerate(layout.header) if name not in known]


def _traits(value: str) -> set[str]:
    """Return what is not so in every column."""
    traits = {"empty": not value, "letters": not value.isdigit(), "spaces": " " in value, "indent": value[:1] == " "}
    return {name for name, is_so in traits.items() if is_so}


def _wrong_width(path: Path, record: Record, width: int) -> QuoteError:
    return QuoteError(
        f"{path} opens a quote in line {record.line} that closes in line {record.last}, which leaves"
        f" {counted(len(record.fields), 'field')}, but its header has {width}; {FIX}, or delete it"
    )


def not_closed(path: Path, line: int, lines: list[str], delimiter: str, problem: str) -> QuoteError:
    """Return the error for a quote that the csv module cannot match, with the line where it opens.

    Args:
        line: where the record starts.
        lines: the lines of the record up to the problem.
        problem: the csv module's message.
    """
    at = re.escape(delimiter)
    closed = rf'(?:(?:"(?:[^"]|"")*+"|[^"{at}\r\n][^{at}\r\n]*+|)(?:{at}|\r\n?|\n))*+'
    before = re.match(closed, "".join(lines))
    line += len(re.findall("\r\n?|\n", before[0])) if before else 0
    if "expected after" in problem:
        return QuoteError(
            f"{path} is not valid CSV in line {line}: a quote opens a field there and closes before the field ends;"
            f" {FIX}, or delete it"
        )
    return QuoteError(f"{path} opens a quote in line {line} that is never closed; close it, or {FIX}")
