"""What is known of every distinct content, in columns of numbers: some 200 bytes for a text, most of them its id."""

from array import array
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress, repeat

import numpy as np

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

    def numbers(self, names: Iterable[str | None]) -> Iterator[int]:
        """Return the numbers of names; -1 for None."""
        names = list(names)
        numbers = {name: -1 if name is None else self.number(name) for name in dict.fromkeys(names)}
        return map(numbers.__getitem__, names)


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
        self._add_again(position, number, rank, label=label, origin=origin, group=group)

    def add_all(
        self,
        keys: Sequence[bytes],
        numbers: Sequence[int],
        ranks: Sequence[int],
        *,
        labels: Sequence[str],
        file: str,
        lines: Sequence[int],
        groups: Sequence[str | None],
    ) -> list[int]:
        """Note several rows of one file as `add` does, by the bytes of their ids; return where their contents are."""
        size, setdefault = len(self._kept), self._positions.setdefault
        positions, again = [], []
        for index, key in enumerate(keys):
            position = setdefault(key, size)
            positions.append(position)
            if position == size:
                size += 1
            else:
                again.append(index)
        is_new = [True] * len(keys)
        for index in again:
            is_new[index] = False
        self._kept.extend(compress(numbers, is_new))
        self._ranks.extend(compress(ranks, is_new))
        self._lines.extend(compress(lines, is_new))
        self._files.extend(repeat(self._names.number(file), len(keys) - len(again)))
        self._first_labels.extend(self._names.numbers(compress(labels, is_new)))
        self._groups.extend(self._names.numbers(compress(groups, is_new)))
        for index in again:
            origin = f"{file}:{lines[index]}"
            self._add_again(
                positions[index], numbers[index], ranks[index], label=labels[index], origin=origin, group=groups[index]
            )
        return positions

    def _add_again(self, position: int, number: int, rank: int, *, label: str, origin: str, group: str | None) -> None:
        """Note a row with a content that was added."""
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

    def units(self) -> Iterator[str]:
        """Yield the group of the kept row of every content, or its id where it has none."""
        if not any(map(self._names.names.__getitem__, set(self._groups) - {-1})):
            return map(bytes.hex, self._positions)
        names = [*self._names.names, ""]
        return (names[group] or key.hex() for key, group in zip(self._positions, self._groups, strict=True))

    def labelled(self) -> Iterator[tuple[str, int, str | None, str]]:
        """Yield id, rank and group of the kept row, and label of every content with a single label."""
        names = self._names.names
        for position, key in enumerate(self._positions):
            if position not in self._other_labels:
                group = self._groups[position]
                label = names[self._first_labels[position]]
                yield key.hex(), self._ranks[position], None if group < 0 else names[group], label

    def counts(self, mask: np.ndarray, values: np.ndarray) -> dict[str, list[int]]:
        """Count the contents of every first label by a value of theirs, a number below 3.

        Args:
            mask: (contents,) bool: those to count.
            values: (contents,)
        """
        names, numbers = self._names.names, np.asarray(self._first_labels)
        rows = np.bincount(numbers[mask] * 3 + values[mask], minlength=3 * len(names)).reshape(-1, 3)
        return {names[number]: rows[number].tolist() for number in np.flatnonzero(rows.any(axis=1))}

    def single(self, without: Container[str] = ()) -> np.ndarray:
        """Tell which contents have a single label that is not among `without`: (contents,) bool."""
        numbers = np.asarray(self._first_labels)
        is_single: np.ndarray = np.array([name not in without for name in self._names.names], dtype=bool)[numbers]
        is_single[list(self._other_labels)] = False
        return is_single

    def kept_numbers(self) -> np.ndarray:
        """Return the numbers of the rows that are kept: (contents,) int64."""
        return np.asarray(self._kept)

    def ranks(self) -> np.ndarray:
        """Return the ranks of the rows that are kept: (contents,) int8."""
        return np.asarray(self._ranks)

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
