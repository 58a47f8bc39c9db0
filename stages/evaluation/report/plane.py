"""A map of rows: two directions of the features along which the classes lie far apart."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from stages.heads import folds
from stages.tables.features import Features, Matrix


def project(train: Features, parts: Sequence[Matrix]) -> list[np.ndarray]:
    """Project features on the two directions along which the means of the training classes differ most.

    Ranges of numbers are their classes (Li 1991, Sliced Inverse Regression).

    These are the principal components of the class means: Fisher's between-class scatter without the whitening, for
    which there are often too few rows. Unlike t-SNE or UMAP it is fast and gives the same map every time.

    Args:
        train: the training rows.
        parts: (rows, dim) each.

    Returns:
        (rows, 2) for every part.
    """
    is_number = train.metadata.task == "regression"
    y = folds.strata(train.labels, "regression" if is_number else "single")
    means = np.stack([_mean(train.single(y == label)) for label in range(y.max() + 1)])  # (labels, dim)
    centre = means.mean(axis=0)
    directions = np.linalg.svd(means - centre, full_matrices=False)[2][:2]  # (1 or 2, dim)
    # A direction and its opposite are equally good; take the one whose largest element is positive.
    largest = np.abs(directions).argmax(axis=1)
    directions = directions * np.sign(directions[np.arange(len(directions)), largest])[:, None]
    points = [np.asarray(X @ directions.T - centre @ directions.T) for X in parts]
    return [np.pad(part, ((0, 0), (0, 2 - part.shape[1]))) for part in points]


def _mean(X: Any) -> np.ndarray:
    return np.asarray(X.mean(axis=0)).ravel()
