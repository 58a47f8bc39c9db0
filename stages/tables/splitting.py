"""The split of rows: by a hash of their own, and by its rank in classes that would lack a training or a test row.

Every unit, a row or a group of rows, has a hash u in [0, 1). Its natural split is test for u < test, validation for
u < test + validation, and else train. It leaves its natural split only where a class would lack rows:

1. If a class has no training row, its unit of the highest u trains.
2. Then, if a class has no test row, its unit of the lowest u tests, unless that takes a class's only training row.

No class is promised a validation row: a second training row is worth more to it. So without groups, growing data moves
a row only

- to its natural split, from which its class had drawn it, or
- if it was the only row of its class, into the test, when a second row arrives that has a higher u.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

import numpy as np

from stages.tables.hashes import uniforms
from stages.tables.prepared import SPLITS, uniform

HASH_ROWS = 65_536  # that are hashed at a time, to spare memory
MIN_TEST_ROWS = 100  # of fewer, the 95 % interval of an accuracy of 0.5 is wider than ±0.1

# Yields every id or group once, with the classes of its rows.
Units: TypeAlias = Callable[[], Iterable[tuple[str, Collection[str]]]]


@dataclass(frozen=True)
class Shares:
    """How large splits are that hashes cut."""

    validation: float
    test: float
    seed: int

    def position(self, key: str) -> float:
        """Return u of an id or group."""
        return uniform(f"split:{self.seed}:{key}")

    def natural(self, key: str) -> str:
        """Return the natural split of an id or group.

        Test is the lowest part, then comes validation: changing the share `validation` moves rows between train and
        validation only.
        """
        position = self.position(key)
        if position < self.test:
            return "test"
        return "validation" if position < self.test + self.validation else "train"

    def naturals(self, keys: Iterable[str]) -> np.ndarray:
        """Return `natural` of many ids or groups: (keys,) int8, places in SPLITS."""
        rest, parts = iter(keys), [np.zeros(0, np.int8)]
        while some := list(islice(rest, HASH_ROWS)):
            positions = uniforms(f"split:{self.seed}:", some)
            splits = np.zeros(len(some), np.int8)
            splits[positions < self.test + self.validation] = SPLITS.index("validation")
            splits[positions < self.test] = SPLITS.index("test")
            parts.append(splits)
        return np.concatenate(parts)


def widest_half(test_rows: int) -> float:
    """Return half the width of the 95 % interval of an accuracy of 0.5, where it is widest."""
    return 1.96 * 0.5 / math.sqrt(test_rows)


def exceptions(
    units: Units,
    shares: Shares,
    fixed: Mapping[str, str] | None = None,
    counts: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, str]:
    """Return the split of every unit that is not in its natural one, by the rule above.

    Memory holds the units of classes that lack rows.

    Args:
        fixed: splits of units that stay in them, and are counted there; they are not among those returned.
        counts: of units by class, in the order of SPLITS, if all are in their natural splits and it is known.
    """
    cut = _Cut(units, shares, fixed or {}, {label: list(rows) for label, rows in (counts or {}).items()})
    if counts is None:
        cut.count()
    return cut.exceptions()


@dataclass
class _Cut:
    """A division into splits while units move."""

    units: Units
    shares: Shares
    fixed: Mapping[str, str]
    counts: dict[str, list[int]]  # of units: by class, in the order of SPLITS
    moved: dict[str, str] = field(default_factory=dict)

    def count(self) -> None:
        """Count the units."""
        for key, classes in self.units():
            split = SPLITS.index(self._split(key))
            for label in classes:
                self.counts.setdefault(label, [0] * len(SPLITS))[split] += 1

    def exceptions(self) -> dict[str, str]:
        """Move units of the classes that lack rows."""
        self._fill("train", highest=True)
        if self.shares.test > 0:
            self._fill("test", highest=False)
        return self.moved

    def _fill(self, split: str, *, highest: bool) -> None:
        """Move a unit of every class that has none in `split` there, the one of the highest or the lowest u."""
        index, fewest = SPLITS.index(split), 1 if split == "train" else 2
        lacking: dict[str, list[tuple[float, str, Collection[str]]]]
        lacking = {label: [] for label, n in self.counts.items() if not n[index] and sum(n) >= fewest}
        if not lacking:
            return
        for key, classes in self.units():
            for label in classes:
                if label in lacking:
                    lacking[label].append((self.shares.position(key), key, classes))
        for label in sorted(lacking):
            if self.counts[label][index]:  # by a group that moved for another class
                continue
            for _, key, classes in sorted(lacking[label], key=lambda unit: unit[:2], reverse=highest):
                if self._may_leave(key, classes):
                    self._move(key, classes, split)
                    break

    def _may_leave(self, key: str, classes: Iterable[str]) -> bool:
        """Return whether a unit is not fixed, and does not train or leaves a training unit to all of its classes."""
        if key in self.fixed:
            return False
        return self._split(key) != "train" or all(self.counts[label][0] > 1 for label in classes)

    def _move(self, key: str, classes: Iterable[str], split: str) -> None:
        for label in classes:
            self.counts[label][SPLITS.index(self._split(key))] -= 1
            self.counts[label][SPLITS.index(split)] += 1
        self.moved[key] = split

    def _split(self, key: str) -> str:
        return self.fixed.get(key) or self.moved.get(key) or self.shares.natural(key)
