"""A map of the test rows: two directions of the features along which the classes lie far apart."""

from typing import Any

import numpy as np

from stages.tables.features import Features


def project(train: Features, test: Features) -> np.ndarray:
    """Project the test features on the two directions along which the means of the training classes differ most.

    These are the principal components of the class means: Fisher's between-class scatter without the whitening, for
    which there are often too few rows. Unlike t-SNE or UMAP it is fast and gives the same map every time.

    Returns:
        (test rows, 2)
    """
    names, y = np.unique(train.labels.astype(str), return_inverse=True)
    means = np.stack([_mean(train.X[y == label]) for label in range(len(names))])  # (labels, dim)
    centre = means.mean(axis=0)
    directions = np.linalg.svd(means - centre, full_matrices=False)[2][:2]  # (1 or 2, dim)
    # A direction and its opposite are equally good; take the one whose largest element is positive.
    largest = np.abs(directions).argmax(axis=1)
    directions = directions * np.sign(directions[np.arange(len(directions)), largest])[:, None]
    points = np.asarray(test.X @ directions.T - centre @ directions.T)
    return np.pad(points, ((0, 0), (0, 2 - points.shape[1])))


def _mean(X: Any) -> np.ndarray:
    return np.asarray(X.mean(axis=0)).ravel()
