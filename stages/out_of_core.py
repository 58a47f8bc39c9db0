"""A logistic head on more training rows than are held in memory: its minimum on all of them, read from disk in blocks.

C is chosen by cross-validation on `IN_MEMORY` rows, and the head on them is where the fit on all rows starts.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from stages import cache, features, heads
from stages.params import TrainHeadParams

IN_MEMORY = 200_000  # training rows
BLOCK_ROWS = 8_192


def is_needed(source: Path, rows: int, settings: TrainHeadParams) -> bool:
    """Whether so many training rows of the feature table `source` are fitted from disk.

    Other heads than logistic ones need all rows at a time. Sparse features of texts are small.
    """
    return settings.kind == "logistic" and rows > IN_MEMORY and not features.read_metadata(source / "train").sparse


def fit(
    source: Path, rows: np.ndarray, ids: np.ndarray, labels: np.ndarray, settings: TrainHeadParams
) -> tuple[heads.Head, heads.Chosen]:
    """Fit a logistic head on some training rows of the feature table `source`.

    Args:
        rows: (rows,) their places in the table, ascending.
        ids: (rows,)
        labels: (rows,) class names.

    Raises:
        HeadstartError: the table is damaged, or a class has too few rows.
    """
    picked = _some(ids, labels, settings.folds)
    X = np.concatenate([np.asarray(part) for part in features.matrices(source, "train", rows[picked])])
    near, chosen = heads.fit(X, labels[picked], settings)
    dim = X.shape[1]
    del X
    root = cache.root()
    root.mkdir(parents=True, exist_ok=True)
    # A file without a name: nothing is left of it, however this process ends.
    with tempfile.TemporaryFile(dir=root) as file:
        for part in features.matrices(source, "train", rows):
            file.write(np.ascontiguousarray(part).data)
        return heads.fit_on(_Blocks(file, dim), labels, near, chosen.value, settings), chosen


@dataclass(frozen=True)
class _Blocks:
    """The rows of a file of float32, a block at a time."""

    file: IO[bytes]
    dim: int

    def __iter__(self) -> Iterator[np.ndarray]:
        self.file.seek(0)
        while content := self.file.read(BLOCK_ROWS * self.dim * 4):
            yield np.frombuffer(content, dtype=np.float32).reshape(-1, self.dim)


def _some(ids: np.ndarray, labels: np.ndarray, folds: int) -> np.ndarray:
    """Places of `IN_MEMORY` rows, and of as many of each class as cross-validation wants, ascending.

    Ids are hashes of what is in the rows, so the first in their order are drawn by chance.
    """
    order = np.argsort(ids, kind="stable")
    names = labels[order].astype(str)
    by_class = np.argsort(names, kind="stable")
    sorted_names = names[by_class]
    place = np.arange(len(names)) - np.searchsorted(sorted_names, sorted_names)  # within its class
    few = by_class[place < folds]
    return np.sort(order[np.union1d(np.arange(IN_MEMORY), few)])
