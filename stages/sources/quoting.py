"""Tell whether a file's quotes enclose fields or are ordinary characters.

A quote that starts a field and does not end it joins rows until the next quote. Such rows are never joined silently: a
file of tabs or bars that plainly does not quote is read line by line, and any other is an error at the opening quote.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from stages.common.errors import counted
from stages.sources import text_files
from stages.sources.dividing import FIX, Layout, QuoteError, Record, divided
from stages.sources.row import Columns, Reading

UNQUOTED_DELIMITERS = ("\t", "|")  # of tools that write no quotes, since texts hold no delimiter
MAX_TRAIT_LINES = 20_000  # of a file from which the traits of its columns are learnt


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
