"""What is known of the rows and of their distinct contents, in columns of numbers: some 90 bytes for a row.

Rows are noted as they come. Which of them have the same content is told by one sort of their ids, when it is asked for;
a mapping of ids would take three times the memory and longer.
"""

from array import array
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from stages.tables.hashes import KEY_BYTES

HEX_ROWS = 65_536  # ids that are written in hex at a time, to spare memory
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

    def numbers(self, names: Sequence[str | None]) -> np.ndarray:
        """Return the numbers of names, (names,) int32; -1 for None."""
        numbers = {name: -1 if name is None else self.number(name) for name in dict.fromkeys(names)}
        if len(numbers) == 1:
            return np.full(len(names), numbers[names[0]], np.int32)
        return np.fromiter(map(numbers.__getitem__, names), np.int32, len(names))


@dataclass(frozen=True)
class _Distinct:
    """The distinct contents, in the order of their keys."""

    keys: np.ndarray  # (2, contents) uint64: the halves of the bytes of the ids, each in one piece for fast search
    positions: np.ndarray  # (rows,) int32: the content of every row
    kept: np.ndarray  # (contents,) int64: the row that is kept, by its place among those that were added
    first_labels: np.ndarray  # (contents,) int32: numbers of names
    other_labels: dict[int, tuple[str, ...]]  # all labels in the order in which they came, where there are several


class Contents:
    """Rows, and the distinct contents among them: which row of each is kept, and which labels its rows have.

    Of the rows with a content, the first of the highest rank is kept. A content's position is its place in the order of
    keys, and holds until another row is added.
    """

    def __init__(self) -> None:
        # Of every row:
        self._keys = bytearray()
        self._numbers = array("q")
        self._ranks = array("b")  # of its given split
        self._labels = array("i")
        self._files, self._lines = array("i"), array("q")  # the line is -1 where its origin has none
        self._groups = array("i")  # -1 for none
        self._names = Names()
        self._last_file = "\0", -1  # of the row before, with the colon behind it, and its number; no name has NUL
        self._distinct: _Distinct | None = None

    def __len__(self) -> int:
        return len(self._contents().kept)

    def add(self, row_id: str, number: int, rank: int, *, label: str, origin: str, group: str | None) -> None:
        """Note a row; `number`: higher than those of the rows before."""
        file, line = self._divided(origin)
        self._keys += bytes.fromhex(row_id)
        self._numbers.append(number)
        self._ranks.append(rank)
        self._labels.append(self._names.number(label))
        self._files.append(file)
        self._lines.append(line)
        self._groups.append(-1 if group is None else self._names.number(group))
        self._distinct = None

    def add_all(
        self,
        keys: np.ndarray,
        numbers: np.ndarray,
        ranks: np.ndarray,
        *,
        labels: Sequence[str],
        file: str,
        lines: np.ndarray,
        groups: Sequence[str | None],
    ) -> None:
        """Note several rows of one file as `add` does.

        Args:
            keys: (rows, 16) uint8: the bytes of their ids.
            numbers: (rows,) int64.
            ranks: (rows,) int8.
            lines: (rows,) int64.
        """
        self._keys += keys.tobytes()
        for column, values in (
            (self._numbers, numbers),
            (self._ranks, ranks),
            (self._labels, self._names.numbers(labels)),
            (self._files, self._names.numbers([file] * len(keys))),
            (self._lines, lines),
            (self._groups, self._names.numbers(groups)),
        ):
            column.frombytes(values.tobytes())
        self._distinct = None

    def position(self, row_id: str) -> int | None:
        """Return where a content is; None if it was not added."""
        (high, low), (first, second) = self._contents().keys, np.frombuffer(bytes.fromhex(row_id), np.uint64)
        position = int(high.searchsorted(first))
        while position < len(high) and high[position] == first:
            if low[position] == second:
                return position
            position += 1
        return None

    def holds(self, others: "Contents") -> np.ndarray:
        """Tell which contents of `others` are here too: (contents of others,) bool."""
        keys = np.concatenate([self._contents().keys, others._contents().keys], axis=1).T
        order = _order(keys)
        is_second = (keys[order[1:]] == keys[order[:-1]]).all(axis=1)
        are_here = np.zeros(len(others), bool)
        are_here[order[1:][is_second] - len(self)] = True
        return are_here

    def kept(self, position: int) -> int:
        """Return the number of the row that is kept."""
        return int(self._numbers[self._contents().kept[position]])

    def labels(self, position: int) -> tuple[str, ...]:
        """Return the labels, in the order in which they came."""
        contents = self._contents()
        return contents.other_labels.get(position) or (self._names.names[contents.first_labels[position]],)

    def origin(self, position: int) -> str:
        """Return the origin of the row that is kept."""
        row = self._contents().kept[position]
        file, line = self._names.names[self._files[row]], self._lines[row]
        return file if line < 0 else f"{file}:{line}"

    def units(self) -> Iterator[str]:
        """Yield the group of the kept row of every content, or its id where it has none."""
        if not any(map(self._names.names.__getitem__, set(self._groups) - {-1})):
            return self._ids()
        names, groups = [*self._names.names, ""], self._of_kept(self._groups)
        return (names[group] or row_id for row_id, group in zip(self._ids(), groups, strict=True))

    def labelled(self) -> Iterator[tuple[str, int, str | None, str]]:
        """Yield id, rank and group of the kept row, and label of every content with a single label."""
        names, contents = self._names.names, self._contents()
        columns = (self.ranks(), self._of_kept(self._groups), contents.first_labels)
        for position, (row_id, rank, group, label) in enumerate(zip(self._ids(), *columns, strict=True)):
            if position not in contents.other_labels:
                yield row_id, int(rank), None if group < 0 else names[group], names[label]

    def counts(self, mask: np.ndarray, values: np.ndarray) -> dict[str, list[int]]:
        """Count the contents of every first label by a value of theirs, a number below 3.

        Args:
            mask: (contents,) bool: those to count.
            values: (contents,)
        """
        names, numbers = self._names.names, self._contents().first_labels
        rows = np.bincount(numbers[mask] * 3 + values[mask], minlength=3 * len(names)).reshape(-1, 3)
        return {names[number]: rows[number].tolist() for number in np.flatnonzero(rows.any(axis=1))}

    def single(self, without: Container[str] = ()) -> np.ndarray:
        """Tell which contents have a single label that is not among `without`: (contents,) bool."""
        contents = self._contents()
        are_taken = np.array([name not in without for name in self._names.names], dtype=bool)
        is_single: np.ndarray = are_taken[contents.first_labels]
        is_single[list(contents.other_labels)] = False
        return is_single

    def ranks(self) -> np.ndarray:
        """Return the ranks of the rows that are kept: (contents,) int8."""
        return self._of_kept(self._ranks)

    def rows(self, first: int, end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what is known of the rows of these numbers, from `first` to before `end`.

        Returns:
            (rows,) int64: numbers; (rows,) int32: where their contents are; (rows,) bool: whether the rows are kept.
        """
        numbers, contents = np.asarray(self._numbers), self._contents()
        start, stop = np.searchsorted(numbers, [first, end])
        positions = contents.positions[start:stop]
        return numbers[start:stop], positions, contents.kept[positions] == np.arange(start, stop)

    def _ids(self) -> Iterator[str]:
        keys = self._contents().keys
        for start in range(0, keys.shape[1], HEX_ROWS):
            letters = keys[:, start : start + HEX_ROWS].T.tobytes().hex()
            yield from [letters[at : at + 2 * KEY_BYTES] for at in range(0, len(letters), 2 * KEY_BYTES)]

    def _of_kept(self, column: "array[int]") -> np.ndarray:
        values: np.ndarray = np.asarray(column)[self._contents().kept]
        return values

    def _contents(self) -> _Distinct:
        """Return the distinct contents of the rows that were added so far."""
        if self._distinct is None:
            self._distinct = self._find()
        return self._distinct

    def _find(self) -> _Distinct:
        """Sort the rows by their keys, those of a content as they came, and look at every content."""
        keys = np.frombuffer(self._keys, np.uint64).reshape(-1, 2)
        order = _order(keys)
        keys = keys[order]
        is_first = np.concatenate([np.ones(1, bool)[: len(keys)], (keys[1:] != keys[:-1]).any(axis=1)])
        contents, starts = np.cumsum(is_first, dtype=np.int32) - 1, np.flatnonzero(is_first)
        positions = np.empty(len(keys), np.int32)
        positions[order] = contents
        labels, ranks = np.asarray(self._labels)[order], np.asarray(self._ranks)
        first_labels, other_labels = labels[starts], {}
        for position in dict.fromkeys(contents[labels != first_labels[contents]].tolist()):
            end = starts[position + 1] if position + 1 < len(starts) else len(labels)
            numbers = dict.fromkeys(labels[starts[position] : end].tolist())
            other_labels[position] = tuple(self._names.names[number] for number in numbers)
        if ranks.any():
            order = np.lexsort((-ranks, positions))
        return _Distinct(np.ascontiguousarray(keys[starts].T), positions, order[starts], first_labels, other_labels)

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


def _order(keys: np.ndarray) -> np.ndarray:
    """Sort (rows, 2) uint64; return (rows,) int64. Equal keys stay in the order in which they came."""
    order = np.argsort(keys[:, 0], kind="stable")
    ordered = keys[order]
    is_torn = (ordered[1:, 0] == ordered[:-1, 0]) & (ordered[1:, 1] != ordered[:-1, 1])  # hardly ever
    return np.lexsort((keys[:, 1], keys[:, 0])) if is_torn.any() else order


def _is_line(text: str) -> bool:
    """Tell whether a text is the number of a line, which written again is the same text."""
    return text.isdigit() and text.isascii() and len(text) <= MAX_DIGITS and (text[0] != "0" or text == "0")
