"""Batches of rows of similar length, in another order every epoch: random, yet with little padding."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stages.common.params import FinetuneParams

MIN_BATCH = 8  # rows; smaller batches give noisier steps
SORTED_BATCHES = 8  # so many batches of random rows are sorted by length together


class Batch(NamedTuple):
    """The rows of one step, and the seed of its augmentation and dropout."""

    rows: list[int]
    seed: int


def size(settings: FinetuneParams, rows: int) -> int:
    """Return the rows per step: `batch_size`, or fewer, down to `MIN_BATCH`, so that a run has `min_steps` steps.

    Pretrained weights need some tens of steps to move, however few rows there are (Mosbach et al. 2021, On the
    Stability of Fine-tuning BERT). Smaller batches give them without more passes over the rows.

    Args:
        rows: of one process.
    """
    steps_per_epoch = max(1, math.ceil(settings.min_steps / settings.epochs))
    return min(settings.batch_size, max(MIN_BATCH, rows // steps_per_epoch))


class Batches:
    """The batches of a run: a pure function of the seed and the step, so a resumed run gets the batches it missed.

    All batches of an epoch have the same number of rows, or one row less. Of several processes, each takes every n-th
    batch; the first batches of an epoch come again at its end if the last step lacks some.
    """

    def __init__(
        self, lengths: Sequence[int], *, batch_size: int, seed: int, process: int = 0, processes: int = 1
    ) -> None:
        """`lengths`: (rows,), in any unit that grows with the work for a row."""
        self._lengths = np.asarray(lengths)
        self._count = -(-len(lengths) // batch_size)
        self._seed, self._process, self._processes = seed, process, processes
        self._cut(0)

    @property
    def steps_per_epoch(self) -> int:
        """How many batches each process takes in an epoch."""
        return -(-self._count // self._processes)

    def at(self, step: int) -> Batch:
        """Return this process's batch for `step`, counted from 0 over all epochs."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._cut(epoch)
        index = (position * self._processes + self._process) % self._count
        return Batch(self._batches[index], int(self._generator(1 + index).integers(2**31)))

    def _cut(self, epoch: int) -> None:
        """Cut the rows into the batches of `epoch`."""
        self._epoch = epoch
        generator = self._generator(0)
        order = generator.permutation(len(self._lengths))
        sizes = [len(part) for part in np.array_split(order, self._count)]
        batches, start = [], 0
        for first in range(0, self._count, SORTED_BATCHES):
            group = sizes[first : first + SORTED_BATCHES]
            rows = order[start : start + sum(group)]
            rows = rows[np.argsort(self._lengths[rows], kind="stable")]
            batches += np.split(rows, np.cumsum(group)[:-1])
            start += sum(group)
        self._batches = [batches[index].tolist() for index in generator.permutation(self._count)]

    def _generator(self, stream: int) -> np.random.Generator:
        """Return a random generator of its own for the order (stream 0) and for every batch of the epoch."""
        return np.random.default_rng([self._seed, self._epoch, stream])
