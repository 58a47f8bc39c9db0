"""Texts of a table, checked by column: some thousand rows at a time.

What most rows need is done for whole columns. A row whose values ask for more is checked by `table_rows.row`, as
predict checks every row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stages.sources import table_rows
from stages.sources.row import SPLIT_NAMES, Columns, Row
from stages.sources.values import ValueProblemError, as_name, encodes
from stages.tables.prepared import UNLABELLED, Spans


@dataclass(slots=True)
class Block:
    """Consecutive rows of one table, by column: what `Row` holds of a text. A list has an entry per row."""

    file: str  # of their origins
    lines: Sequence[int]
    texts: list[str]
    labels: list[str | None]
    groups: list[str | None]
    slices: list[str | None]
    splits: list[str | None]
    spans: list[Spans | None]
    problems: dict[int, str] = field(default_factory=dict)  # by place in the block

    def row(self, place: int) -> Row:
        """Return one row."""
        made = Row(f"{self.file}:{self.lines[place]}", self.texts[place], None, self.labels[place])
        made.group, made.slice, made.split = self.groups[place], self.slices[place], self.splits[place]
        made.spans, made.problem = self.spans[place], self.problems.get(place)
        return made

    def put(self, place: int, row: Row) -> None:
        """Put a row of a text where another was."""
        assert isinstance(row.content, str)
        self.texts[place], self.labels[place], self.groups[place] = row.content, row.label, row.group
        self.slices[place], self.splits[place], self.spans[place] = row.slice, row.split, row.spans
        if row.problem:
            self.problems[place] = row.problem


def block(
    file: str, lines: Sequence[int], values: Mapping[str, Sequence[Any]], columns: Columns, split: str | None
) -> Block:
    """Check the values of some rows: the rows are those that `table_rows.row` makes of them.

    Args:
        file: of their origins.
        values: of every column, an entry per row.
        split: of the whole file; a split column takes precedence.
    """
    rows, odd = len(lines), set[int]()
    nothing: list[Any] = [None] * rows
    if isinstance(columns.input, str) and not (columns.label and not isinstance(columns.label, str)):
        texts, odd = list(values[columns.input]), _odd_texts(values[columns.input])
    else:  # joined texts, and labels of several columns
        texts, odd = [""] * rows, set(range(rows))

    def named(column: str | None, read: Callable[[Any], str | None] = as_name) -> list[str | None]:
        return nothing.copy() if column is None or len(odd) == rows else _named(values[column], read, odd)

    labels = named(columns.label if isinstance(columns.label, str) else None, columns.form.from_value)
    groups, slices = named(columns.group), named(columns.slice)
    splits = [split] * rows if columns.split is None else named(columns.split, _as_split)
    if split == UNLABELLED or columns.split:  # a label in a file without them, or one without a split
        is_wrong = [split == UNLABELLED or name is None for name in splits]
        odd.update(place for place in range(rows) if is_wrong[place] and labels[place] is not None)
    made = Block(file, lines, texts, labels, groups, slices, splits, nothing.copy())
    for place in sorted(odd):
        record = {name: column[place] for name, column in values.items()}
        made.put(place, table_rows.row(f"{file}:{lines[place]}", record, columns, split, None))
    return made


def _odd_texts(values: Sequence[Any]) -> set[int]:
    """Return the places of values that are no strings, hold nothing but spaces, or that UTF-8 cannot encode."""
    if set(map(type, values)) == {str} and all(map(str.strip, values)) and encodes("".join(values)):
        return set()
    return {
        place for place, value in enumerate(values) if type(value) is not str or not value.strip() or not encodes(value)
    }


def _named(values: Sequence[Any], read: Callable[[Any], str | None], odd: set[int]) -> list[str | None]:
    """Read every string once; add the places of other values, and of those that cannot be read, to `odd`."""
    names: dict[Any, str | None] = {None: None}
    unread = set(values if set(map(type, values)) == {str} else (value for value in values if type(value) is str))
    for value in unread:
        try:
            names[value] = read(value)
        except ValueProblemError:
            continue
    try:
        return list(map(names.__getitem__, values))
    except (KeyError, TypeError):  # TypeError: a list or a mapping
        is_read = [value is None or (type(value) is str and value in names) for value in values]
        odd.update(place for place, is_so in enumerate(is_read) if not is_so)
        return [names[value] if is_so else None for value, is_so in zip(values, is_read, strict=True)]


def _as_split(value: Any) -> str | None:
    return SPLIT_NAMES.get((as_name(value) or "").strip().lower())
