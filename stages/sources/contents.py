"""What is known of every distinct content, in columns of numbers: some 170 bytes for a text, most of them its id."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_DIGITS = 18  # of a line number that fits into eight bytes


@dataclass
class Names:
    """Strings that many contents share, by number."""

    names: list[str] = field(default_factory=list)
    _numbers: dict[str, int] = field(default_factory=dict)

    def number(self, name: str) -> int:
        """Return the number of a name, which gets one if it is new."""
        number = self._numbers.setdefault(name, len(self.names))
        if number == len(self.names):
            self.names.append(name)
        return number


class Contents:
    """One distinct content each: the row that is kept of it, and all labels that rows with this content have."""

    def __init__(self) -> None:
        self._positions: dict[bytes, int] = {}  # by id
        self._kept = array("q")  # row number
        self._ranks = array("b")  # of the given split of the kept row
        self._first_labels = array("i")
        self._files, self._lines = array("i"), array("q")  # of the kept row; the line is -1 where its origin has none
        self._groups = array("i")  # -1 for none
        self._names = Names()
        self._other_labels: dict[int, tuple[str, ...]] = {}  # by position, where there are several

    def __len__(self) -> int:
        return len(self._kept)

    def position(self, row_id: str) -> int | None:
        """Return where a content is; None if it was not added."""
        return self._positions.get(bytes.fromhex(row_id))

    def add(self, row_id: str, number: int, rank: int, *, label: str, origin: str, group: str | None) -> None:
        """Note a row with this content. Of several, the first of the highest rank is kept."""
        size = len(self._kept)
        position = self._positions.setdefault(bytes.fromhex(row_id), size)
        if position == size:
            self._first_labels.append(self._names.number(label))
            for column in (self._kept, self._ranks, self._files, self._lines, self._groups):
                column.append(0)
            self._keep(position, number, rank, origin, group)
            return
        if label not in (labels := self.labels(position)):
            self._other_labels[position] = (*labels, label)
        if rank > self._ranks[position]:
            self._keep(position, number, rank, origin, group)

    def kept(self, position: int) -> int:
        """Return the number of the row that is kept."""
        return self._kept[position]

    def labels(self, position: int) -> tuple[str, ...]:
        """Return the labels, in the order in which they came."""
        return self._other_labels.get(position) or (self._names.names[self._first_labels[position]],)

    def origin(self, position: int) -> str:
        """Return the origin of the row that is kept."""
        file, line = self._names.names[self._files[position]], self._lines[position]
        return file if line < 0 else f"{file}:{line}"

    def labelled(self) -> Iterator[tuple[str, int, str | None, str]]:
        """Yield id, rank and group of the kept row, and label of every content with a single label."""
        names = self._names.names
        for position, key in enumerate(self._positions):
            if position not in self._other_labels:
                group = self._groups[position]
                label = names[self._first_labels[position]]
                yield key.hex(), self._ranks[position], None if group < 0 else names[group], label

    def _keep(self, position: int, number: int, rank: int, origin: str, group: str | None) -> None:
        file, _, line = origin.rpartition(":")
        if not (line.isascii() and line.isdigit() and len(line) <= MAX_DIGITS) or (line[0] == "0" and line != "0"):
            file, line = origin, "-1"
        self._kept[position], self._ranks[position] = number, rank
        self._files[position], self._lines[position] = self._names.number(file), int(line)
        self._groups[position] = -1 if group is None else self._names.number(group)
