"""Batches of rows of similar length, in another order every epoch: little padding, and still by chance."""

from collections.abc import Sequence

import numpy as np
from torch.utils.data import Dataset

MIXED = 8  # batches whose rows are sorted by length together


class Batches(Dataset[tuple[list[int], int]]):
    """The batches of an epoch, each as the rows in it and a seed for what chance does to them.

    A pure function of seed and epoch, so that a run that was killed goes on with the batches that it would have had.
    All batches have the same number of rows, or one row less.
    """

    def __init__(self, lengths: Sequence[int], *, batch_size: int, seed: int) -> None:
        """`lengths`: (rows,), in any unit that grows with the work that a row is."""
        self._lengths = np.asarray(lengths)
        self._count = -(-len(lengths) // batch_size)
        self._seed = seed
        self.set_epoch(0)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: int) -> tuple[list[int], int]:
        return self._batches[place], int(self._chance(1 + place).integers(2**31))

    def set_epoch(self, epoch: int) -> None:
        """Cut the batches of `epoch`."""
        self._epoch = epoch
        generator = self._chance(0)
        order = generator.permutation(len(self._lengths))
        sizes = [len(part) for part in np.array_split(order, self._count)]
        batches, start = [], 0
        for first in range(0, self._count, MIXED):
            mixed = sizes[first : first + MIXED]
            rows = order[start : start + sum(mixed)]
            rows = rows[np.argsort(self._lengths[rows], kind="stable")]
            batches += np.split(rows, np.cumsum(mixed)[:-1])
            start += sum(mixed)
        self._batches = [batches[place].tolist() for place in generator.permutation(self._count)]

    def _chance(self, what: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, self._epoch, what])
