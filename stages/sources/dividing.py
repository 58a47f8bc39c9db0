"""Divide delimited lines into rows of fields: one by one, or many at a time."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING

from stages.common.errors import HeadstartError, counted, one_line
from stages.sources import text_files
from stages.sources.row import Reading

if TYPE_CHECKING:
    import _csv

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
