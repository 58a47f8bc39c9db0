"""Upper bounds of cosines from short vectors, so that few pairs of rows have to be compared in full.

A row of length 1 becomes its coordinates on a few axes and the length of the rest of it. The cosine of two rows is at
most the product of these vectors (Cauchy and Schwarz). Features of pretrained models differ in few directions, those
of the axes, so the rests are short and the bound is close.
"""

from collections.abc import Callable

import numpy as np
from scipy import sparse

from stages.scores import nearest_rows
from stages.tables.features import Matrix

MARGIN = 1e-5  # more than the rounding of float32 can take from a bound
AXES_PER_STEP = 16
MOMENT_ROWS = 20_000  # of which the axes are the principal ones
SAMPLE_ROWS = 1_000  # that tell how many axes pay


def shortener(train: Matrix, threshold: float, block: int) -> Callable[[Matrix], Matrix]:
    """Choose axes, as many as make a search cheapest that multiplies short vectors first.

    Rows that the bound cannot rule out in a block of training rows are then multiplied with the block in full.

    Args:
        train: (training rows, dim)
        threshold: the lowest cosine that is looked for.
        block: training rows of a block.

    Returns:
        A function from rows of length 1, (rows, dim), to vectors whose products are, but for `MARGIN`, at least the
        cosines of the rows: (rows, axes + 1), at most about half as many as dimensions. Sparse rows stay as they are.
    """
    if sparse.issparse(train):
        return lambda rows: rows
    generator, dim = np.random.default_rng(0), train.shape[1]

    def drawn(count: int) -> np.ndarray:
        rows = generator.choice(train.shape[0], min(count, train.shape[0]), replace=False)
        return np.asarray(nearest_rows.unit(train[np.sort(rows)]))

    sample = drawn(MOMENT_ROWS)
    axes = np.linalg.eigh((sample.T @ sample).astype(np.float64))[1][:, ::-1].astype(np.float32)
    rows, others = drawn(SAMPLE_ROWS), drawn(block)

    def cost(count: int) -> float:  # multiplications of a pair
        bounds = _shortened(rows, axes[:, :count]) @ _shortened(others, axes[:, :count]).T
        return float(count + dim * (bounds.max(axis=1) >= threshold).mean())

    count = min(range(AXES_PER_STEP, dim // 2, AXES_PER_STEP), key=cost, default=dim // 2)
    return lambda rows: _shortened(rows, axes[:, :count])


def _shortened(rows: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Give coordinates and the length of the rest, which rounding must not make too short: (rows, axes + 1)."""
    short = rows @ axes
    rest = np.sqrt(np.maximum(1 - (short * short).sum(axis=1), 0) + MARGIN)
    return np.column_stack([short, rest]).astype(np.float32, copy=False)
