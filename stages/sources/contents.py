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
        self._last_file = "\0", -1  # of the row before, with the colon behind it, and its number; no name has NUL

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
            file, line = self._divided(origin)
            self._first_labels.append(self._names.number(label))
            self._kept.append(number)
            self._ranks.append(rank)
            self._files.append(file)
            self._lines.append(line)
            self._groups.append(-1 if group is None else self._names.number(group))
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
        self._kept[position], self._ranks[position] = number, rank
        self._files[position], self._lines[position] = self._divided(origin)
        self._groups[position] = -1 if group is None else self._names.number(group)

    def _divided(self, origin: str) -> tuple[int, int]:
        """Divide an origin into the number of its file and its line, -1 where it has none."""
        start, file = self._last_file
        line = origin[len(start) :] if origin.startswith(start) else ""
        if not _is_line(line):
            name, _, line = origin.rpartition(":")
            if not _is_line(line):
                return self._names.number(origin), -1
            file = self._names.number(name)
            self._last_file = f"{name}:", file
        return file, int(line)


def _is_line(text: str) -> bool:
    """Tell whether a text is the number of a line, which written again is the same text."""
    return text.isdigit() and text.isascii() and len(text) <= MAX_DIGITS and (text[0] != "0" or text == "0")
