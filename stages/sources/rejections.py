"""Raw rows that are left out: the table that lists them, and what kinds there are in words."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stages.common import atomic
from stages.sources import text_files
from stages.sources.row import Row

SCHEMA = pa.schema([("source", pa.string()), ("reason", pa.string())])
MAX_KINDS = 4  # that are named
# What differs between rows of one reason: a message of a library, a value, a number.
DETAILS = re.compile(r"\(.*\)|'[^']*'|\"[^\"]*\"|\d[\d,]*")

Record = Mapping[str, str | None]
LeftOut = tuple[str, Record]  # with the kind of reason


@dataclass
class Rejections:
    """Rows with a problem, and how many have the same reason and the same kind of file."""

    records: list[Record] = field(default_factory=list)
    _kinds: dict[tuple[str, str], int] = field(default_factory=dict)
    _examples: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Note a row if it has a problem."""
        if row.problem:
            self.records.append(record(row))
            kind = _suffix(row), DETAILS.sub("", row.problem.removeprefix(f"{row.name} "))
            self._kinds[kind] = self._kinds.get(kind, 0) + 1
            is_named = row.problem.startswith(row.origin)
            self._examples.setdefault(kind, row.problem if is_named else f"{row.origin}: {row.problem}")

    def in_words(self) -> str:
        """Count the rows of every reason with an example, the largest first; and of every kind of file, if several."""
        largest = sorted(self._kinds, key=lambda kind: -self._kinds[kind])
        are_alike = len({suffix for suffix, _ in largest}) == 1
        kinds = [
            f"{self._kinds[kind]:,}{'' if are_alike else f' {kind[0]},'} such as {self._examples[kind]}"
            for kind in largest[:MAX_KINDS]
        ]
        if others := sum(self._kinds[kind] for kind in largest[MAX_KINDS:]):
            kinds.append(f"{others:,} for other reasons")
        return "; ".join(kinds)


def record(row: Row) -> Record:
    """Return the line of the table for a row with a problem."""
    return {"source": row.origin, "reason": f"skipped: {row.problem}" if row.skipped else row.problem}


def write(path: Path, records: Sequence[Record]) -> None:
    """Write the table of rows that are left out."""
    with atomic.file(path) as out:
        pq.write_table(pa.Table.from_pylist(records, SCHEMA), out, compression="zstd")


def is_table(path: Path) -> bool:
    """Tell whether a file is a table that `write` wrote."""
    try:
        return bool(pq.read_schema(path).equals(SCHEMA))
    except (OSError, pa.ArrowException):
        return False


def _suffix(row: Row) -> str:
    """Return how the name of the row's image ends, or that of its table."""
    return text_files.suffix(Path(row.name or re.sub(r":\d+$", "", row.origin))) or "without a suffix"
