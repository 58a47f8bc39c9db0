"""Tables of delimited lines: the header tells whether by comma, semicolon, tab or bar, whatever the suffix.

Read with the csv module: unlike pandas it reports short lines, and gives line numbers.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stages.common.errors import HeadstartError, listed
from stages.sources import dividing, quoting, text_files
from stages.sources.dividing import Layout
from stages.sources.row import Columns, Reading, require

SUFFIXES = (".csv", ".tsv", ".tab", ".psv")
SUFFIX_ALONE = ".txt"  # of a table that is named, not of one in a folder, where texts of all kinds end so
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
EXCEL_LINE = re.compile(r'"?sep=(.)"?\s*')  # the first line of files for Excel may name the delimiter
MAX_HEADER = 2**16  # characters of a header over several lines


def records(path: Path, columns: Columns, reading: Reading) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line, column values) for each row.

    Raises:
        HeadstartError: as `blocks` does.
    """
    for lines, values in blocks(path, columns, reading):
        for line, row in zip(lines, zip(*values.values(), strict=True), strict=True):
            yield line, dict(zip(values, row, strict=True))


def blocks(path: Path, columns: Columns, reading: Reading) -> Iterator[tuple[Sequence[int], dict[str, list[str]]]]:
    """Yield (lines, values of every column) of some thousand rows at a time.

    Raises:
        HeadstartError: the file lacks a column, a row has more or fewer fields than the header, or a quote does not
            close.
    """
    layout = _layout(path, columns, reading)
    layout = replace(layout, is_quoted=quoting.encloses(path, layout, columns, reading))
    width, positions = len(layout.header), columns.positions(layout.header)
    for lines, fields in dividing.blocks(path, layout, reading):
        yield lines, {name: fields[position::width] for name, position in positions.items()}


def _layout(path: Path, columns: Columns, reading: Reading) -> Layout:
    """Choose the delimiter that gives a header with the columns to read.

    Raises:
        HeadstartError: the file is empty, no delimiter gives these columns, or several do.
    """
    with text_files.opened(path, reading) as lines:
        first = next(lines, "")
        excel = EXCEL_LINE.fullmatch(first)
        start, size = ([], 0) if excel else ([first], len(first))
        while size < MAX_HEADER and (line := next(lines, "")):
            start.append(line)
            size += len(line)
    number = 2 if excel else 1
    while start and not start[0].strip():
        del start[0]
        number += 1
    if not start:
        raise HeadstartError(f"{path} is empty; it needs a header line and rows")
    usual = "," if text_files.suffix(path) == ".csv" else "\t"
    delimiters = [excel[1]] if excel else sorted(DELIMITERS, key=lambda delimiter: delimiter != usual)
    headers = {delimiter: header for delimiter in delimiters if (header := _header(start, delimiter, columns))}
    if not headers:
        raise dividing.not_closed(path, number, start, delimiters[0], "")
    fitting = {at: header for at, header in headers.items() if set(columns.names()) <= set(header)}
    if sum(len(header) > 1 for header in fitting.values()) > 1:
        raise HeadstartError(
            f"{path} may be divided at {listed(DELIMITERS[at] for at in fitting)}, since its first line has"
            f" {listed(columns.names())} either way; rename the other columns"
        )
    candidates = fitting or headers
    delimiter, header = max(candidates.items(), key=lambda item: len(item[1]))
    require(path, columns, header)
    return Layout(delimiter, header, number, is_spaced=f"{delimiter} " in start[0], has_quoted_header='"' in start[0])


def _header(start: list[str], delimiter: str, columns: Columns) -> list[str] | None:
    """Return the names at this delimiter, without spaces around them unless asked for so; None if there is none."""
    try:
        header = next(csv.reader(start, delimiter=delimiter, strict=True, skipinitialspace=f"{delimiter} " in start[0]))
    except csv.Error:
        return None
    return [name if name in columns.names() else name.strip() for name in header]
