"""A logistic head on more training rows than are held in memory: its minimum on all of them, read from disk in blocks.

Cross-validation chooses C on `choosing.MAX_FIT_ROWS` rows, and the fit on all rows starts from the head on them.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from stages.common import cache_folder
from stages.common.params import TrainHeadParams
from stages.heads import choosing
from stages.tables import features

BLOCK_ROWS = 8_192


def is_needed(features_folder: Path, rows: int, settings: TrainHeadParams) -> bool:
    """Whether so many training rows of the feature table `features_folder` are fitted from disk.

    Other heads than logistic ones need all rows at a time. Sparse features of texts are small.
    """
    return (
        settings.kind == "logistic"
        and rows > choosing.MAX_FIT_ROWS
        and not features.read_metadata(features_folder / "train").sparse
    )


def fit(
    features_folder: Path, rows: np.ndarray, ids: np.ndarray, labels: np.ndarray, settings: TrainHeadParams
) -> tuple[choosing.Head, choosing.Chosen]:
    """Fit a logistic head on some training rows of the feature table `features_folder`.

    Args:
        rows: (rows,) their places in the table, ascending.
        ids: (rows,)
        labels: (rows,) class names.

    Raises:
        HeadstartError: the table is damaged, or a class has too few rows.
    """
    # Ids are hashes of what is in the rows, so the first in their order are drawn by chance.
    picked = choosing.sample_rows(np.argsort(ids, kind="stable"), labels.astype(str), settings.folds)
    X = features.vectors(features_folder, "train", rows[picked])
    near, chosen = choosing.fit(X, labels[picked], settings)
    dim = X.shape[1]
    del X
    root = cache_folder.root()
    root.mkdir(parents=True, exist_ok=True)
    # A file without a name: nothing is left of it, however this process ends.
    with tempfile.TemporaryFile(dir=root) as file:
        for part in features.matrices(features_folder, "train", rows):
            file.write(np.ascontiguousarray(part).data)
        return choosing.fit_on_blocks(_Blocks(file, dim), labels, near, chosen.value, settings), chosen


@dataclass(frozen=True)
class _Blocks:
    """The rows of a file of float32, a block at a time."""

    file: IO[bytes]
    dim: int

    def __iter__(self) -> Iterator[np.ndarray]:
        self.file.seek(0)
        while content := self.file.read(BLOCK_ROWS * self.dim * 4):
            yield np.frombuffer(content, dtype=np.float32).reshape(-1, self.dim)
