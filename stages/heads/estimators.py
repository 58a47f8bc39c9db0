"""Fit scikit-learn's classifiers, one for every `train_head.kind`, and compute their scores."""

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC
from sklearn.utils.class_weight import compute_sample_weight

from stages.common.params import TrainHeadParams
from stages.heads import lbfgs
from stages.scores import calibration
from stages.tables.features import Matrix


def fit(X: Matrix, y: np.ndarray, value: float, settings: TrainHeadParams) -> Any:
    """Fit a classifier of kind `settings.kind`.

    Args:
        X: (rows, dim) float32.
        y: (rows,) label indices.
        value: the number of neighbours for knn, else C.
    """
    return _build(value, settings).fit(X, y)


def fit_on_blocks(
    blocks: lbfgs.Blocks, y: np.ndarray, C: float, settings: TrainHeadParams, start: LogisticRegression
) -> LogisticRegression:
    """Fit a logistic classifier on rows that come in blocks.

    Args:
        blocks: parts of (rows, dim) float32, the same in every pass.
        y: (rows,) label indices.
        start: a logistic classifier of the same labels, fitted on a sample of the rows.
    """
    estimator: LogisticRegression = _build(C, settings)
    weights = compute_sample_weight(settings.class_weight, y)
    W = lbfgs.fit(blocks, y, C=C, weights=weights, start=np.vstack([start.coef_.T, start.intercept_]))
    estimator.coef_, estimator.intercept_ = np.ascontiguousarray(W[:-1].T), W[-1]
    estimator.classes_ = start.classes_
    estimator.n_features_in_ = start.n_features_in_
    return estimator


def scores(estimator: Any, X: Matrix) -> np.ndarray:
    """Compute logits, whose softmax gives the probabilities before calibration: (rows, labels) float64."""
    if isinstance(estimator, KNeighborsClassifier):
        # One more vote for every label (Laplace): k votes do not prove a probability of 0.
        votes = estimator.predict_proba(X) * estimator.n_neighbors
        return np.asarray(np.log((votes + 1) / (estimator.n_neighbors + votes.shape[1])))
    if isinstance(estimator, MLPClassifier):
        return calibration.logits(estimator.predict_proba(X))
    decision = np.asarray(estimator.decision_function(X), dtype=np.float64)
    return np.stack([-decision, decision], axis=1) / 2 if decision.ndim == 1 else decision


def _build(value: float, settings: TrainHeadParams) -> Any:
    """Build an unfitted classifier. C always weighs the loss of the rows against half the squared coefficients."""
    weight = settings.class_weight
    match settings.kind:
        case "logistic":
            return LogisticRegression(C=value, class_weight=weight, max_iter=1_000)
        case "linear_svm":
            return LinearSVC(C=value, class_weight=weight, max_iter=10_000, random_state=0)
        case "ridge":
            return RidgeClassifier(alpha=1 / (2 * value), class_weight=weight)
        case "knn":
            return KNeighborsClassifier(n_neighbors=int(value), algorithm="brute")
        case "mlp":
            return MLPClassifier((100,), alpha=1 / value, solver="lbfgs", max_iter=500, random_state=0)
