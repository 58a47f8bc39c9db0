"""A map of the test rows: two dimensions of the features in which the classes lie far apart."""

from typing import Any

import numpy as np

from stages.tables.features import Features


def project(train: Features, test: Features) -> np.ndarray:
    """The test features on the two directions in which the means of the training classes differ most: (rows, 2).

    Principal components of the class means (Fisher's between-class scatter, without his whitening, which few rows do
    not allow). Quick, and the same every time, as embeddings that are learned by chance are not.
    """
    names, y = np.unique(train.labels.astype(str), return_inverse=True)
    means = np.stack([_mean(train.X[y == label]) for label in range(len(names))])  # (labels, dim)
    centre = means.mean(axis=0)
    directions = np.linalg.svd(means - centre, full_matrices=False)[2][:2]  # (1 or 2, dim)
    # A direction and its opposite are equally good; the one is taken whose largest element is positive.
    largest = np.abs(directions).argmax(axis=1)
    directions = directions * np.sign(directions[np.arange(len(directions)), largest])[:, None]
    points = np.asarray(test.X @ directions.T - centre @ directions.T)
    return np.pad(points, ((0, 0), (0, 2 - points.shape[1])))


def _mean(X: Any) -> np.ndarray:
    return np.asarray(X.mean(axis=0)).ravel()
