"""Find labels that exclude each other: every row has exactly one of them, such as the category of a review.

One-vs-rest classifiers do not know this: where they are unsure of all labels of such a set, they give none.
"""

import numpy as np
from scipy.sparse.csgraph import connected_components

MIN_ROWS = 50  # that say so without exception: then at most 6 % of all rows are exceptions (95 %, rule of three)


def find(Y: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """Find the sets of two or more labels of which every row has exactly one.

    Labels that never occur together are linked; of the labels that are linked, also over others, a row must have one.
    So labels that exclude each other stay apart only where each occurs with each label of another set.

    Args:
        Y: (rows, labels) bool, which labels apply.

    Returns:
        The labels of every set, ascending; none for fewer than MIN_ROWS rows.
    """
    if len(Y) < MIN_ROWS:
        return ()
    occurring = np.flatnonzero(Y.any(axis=0))
    counts = Y[:, occurring].astype(np.float32)
    count, sets = connected_components(counts.T @ counts == 0, directed=False)
    members = (occurring[sets == number] for number in range(count))
    return tuple(tuple(one.tolist()) for one in members if len(one) > 1 and (Y[:, one].sum(axis=1) == 1).all())
