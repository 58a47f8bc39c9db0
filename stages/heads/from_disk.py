"""Fit a logistic head on more training rows than fit into memory, reading them from disk in blocks.

C is chosen on a sample of `choosing.MAX_FIT_ROWS` rows. The fit on all rows starts from the head of the sample.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from threadpoolctl import threadpool_limits

from stages.common import cache_folder
from stages.common.params import TrainHeadParams
from stages.heads import certainty, choosing, estimators, folds, lbfgs
from stages.heads.certainty import Known
from stages.heads.head import Head
from stages.tables import features


def is_needed(features_folder: Path, rows: int, settings: TrainHeadParams) -> bool:
    """Tell whether a head on `rows` training rows of a feature table has to be fitted from disk.

    Only logistic heads can be: the other kinds need all rows at once. Sparse features of texts are small enough.
    """
    return (
        settings.kind == "logistic"
        and rows > choosing.MAX_FIT_ROWS
        and not features.read_metadata(features_folder / "train").sparse
    )


def fit(
    features_folder: Path, rows: np.ndarray, ids: np.ndarray, labels: np.ndarray, settings: TrainHeadParams
) -> tuple[Head, choosing.Chosen]:
    """Fit a logistic head on the training rows `rows` of a feature table.

    Args:
        rows: (rows,) indices into the table, ascending.
        ids: (rows,)
        labels: (rows,) class names.

    Raises:
        HeadstartError: the table is damaged.
    """
    # Ids are hashes of the content, so their order is a random one that every run repeats.
    order = np.argsort(ids, kind="stable")
    sample = choosing.sample_rows(order, labels.astype(str), most=choosing.MAX_FIT_ROWS, least=settings.folds)
    X = features.vectors(features_folder, "train", rows[sample])
    groups = features.groups(features_folder, "train")
    start, chosen = choosing.fit(X, labels[sample], settings, folds.select(groups, rows[sample]))
    dim = X.shape[1]
    moments = lbfgs.second_moments(X)
    del X
    y = np.searchsorted(np.array(start.labels), labels.astype(str))
    root = cache_folder.root()
    root.mkdir(parents=True, exist_ok=True)
    # The system deletes this file when the process ends, however it ends.
    with tempfile.TemporaryFile(dir=root) as file:
        for part in features.matrices(features_folder, "train", rows):
            file.write(np.ascontiguousarray(part).data)
        with threadpool_limits(1):  # blocks are too small to divide
            estimator = estimators.fit_on_blocks(
                _Blocks(file, dim), y, chosen.value, settings, start=estimators.layer(start.estimator), moments=moments
            )
    return Head(estimator, start.labels), chosen


def known_rows(features_folder: Path, rows: np.ndarray) -> Known | None:
    """Keep vectors of training rows, as `certainty.known_rows` does; `rows`: (rows,) indices into the table."""
    dim = features.read_metadata(features_folder / "train").dim
    chosen = rows[certainty.sample(len(rows), certainty.most_known(dim))]
    return certainty.known_rows(features.vectors(features_folder, "train", chosen))


@dataclass(frozen=True)
class _Blocks:
    """The rows of a float32 file, `lbfgs.BLOCK_ROWS` at a time; every iteration starts at the first."""

    file: IO[bytes]
    dim: int

    def __iter__(self) -> Iterator[np.ndarray]:
        self.file.seek(0)
        while content := self.file.read(lbfgs.BLOCK_ROWS * self.dim * 4):
            yield np.frombuffer(content, dtype=np.float32).reshape(-1, self.dim)
