"""A fitted head for rows with several labels: the scores of its classifiers, side by side."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

from stages.heads import estimators
from stages.heads.head import Head
from stages.tables.features import Matrix
from stages.tasks.multilabel import Multilabel


@dataclass(frozen=True)
class OneVsRest:
    """Fitted binary classifiers, one for every label, in the order of `labels`.

    Attributes:
        estimator: a list of the classifiers, those of `exclusive` last; for knn one classifier, of all labels.
        temperatures: (labels,) by which scores are divided.
        thresholds: (labels,) probabilities from which a label is given.
        exclusive: sets of labels that have one classifier, whose classes they are, and of which the likeliest is given.
    """

    estimator: Any
    labels: tuple[str, ...]
    temperatures: tuple[float, ...]
    thresholds: tuple[float, ...]
    exclusive: tuple[tuple[str, ...], ...] = ()

    @property
    def task(self) -> Multilabel:
        """What its scores mean."""
        return Multilabel(self.labels, self.thresholds, self.exclusive)

    def scores(self, X: Matrix) -> np.ndarray:
        """Compute the calibrated scores of the task: (rows, labels) float64. `X`: (rows, dim)."""
        with threadpool_limits(1):
            if not self.exclusive:
                return np.asarray(log_odds(self.estimator, X) / np.array(self.temperatures))
            scores = np.empty((X.shape[0], len(self.labels)))
            for labels, one in self.classifiers():
                scores[:, labels] = estimators.scores(one, X) if len(labels) > 1 else log_odds([one], X)
            return np.asarray(scores / np.array(self.temperatures))

    def outputs(self, X: Matrix) -> np.ndarray:
        """Compute the outputs of the task: (rows, labels, 2) float64. `X`: (rows, dim)."""
        return self.task.outputs(self.scores(X))

    def probabilities(self, X: Matrix) -> np.ndarray:
        """Compute the calibrated probability of every label: (rows, labels) float64. `X`: (rows, dim)."""
        return self.task.probabilities(self.outputs(X))

    def layer(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Give weight (labels, dim) and bias (labels,) of the linear layer that computes the scores, as of `Head`."""
        if not isinstance(self.estimator, list) or not all(hasattr(one, "coef_") for one in self.estimator):
            return None
        temperatures = np.array(self.temperatures)
        weight = np.empty((len(self.labels), self.estimator[0].n_features_in_))
        bias = np.empty(len(self.labels))
        for labels, one in self.classifiers():
            if len(labels) > 1:
                part = Head(one, tuple(self.labels[index] for index in labels)).layer()
                assert part is not None
                weight[labels], bias[labels] = part
            else:
                weight[labels], bias[labels] = np.ravel(one.coef_), np.ravel(one.intercept_)
        return weight / temperatures[:, None], bias / temperatures

    def classifiers(self) -> list[tuple[list[int], Any]]:
        """List every classifier, unless it is knn, with the indices of its labels."""
        sets = self.task.exclusive_indices()
        in_sets = {label for labels in sets for label in labels}
        alone = [[label] for label in range(len(self.labels)) if label not in in_sets]
        return list(zip([*alone, *sets], self.estimator, strict=True))

    def calibrated(self, temperatures: np.ndarray) -> "OneVsRest":
        """Divide the scores by these temperatures too, (labels,); the same labels are given as before."""
        return replace(
            self,
            temperatures=tuple((np.array(self.temperatures) * temperatures).tolist()),
            thresholds=self.task.calibrated(temperatures).thresholds,
        )


def log_odds(estimator: Any, X: Matrix) -> np.ndarray:
    """Compute the log odds of every label before calibration: (rows, labels) float64."""
    if isinstance(estimator, KNeighborsClassifier):
        # One more vote for and against every label, as in `estimators.scores`.
        neighbors = estimator.kneighbors(X, return_distance=False)
        votes = estimators.neighbor_labels(estimator)[neighbors].sum(axis=1, dtype=np.float64)
        return np.asarray(np.log((votes + 1) / (estimator.n_neighbors - votes + 1)))
    columns = []
    for one in estimator:
        scores = estimators.scores(one, X)
        columns.append(scores[:, 1] - scores[:, 0])
    return np.stack(columns, axis=1)
