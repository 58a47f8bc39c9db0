"""Fit, restore and score scikit-learn's classifiers, one for every `train_head.kind`."""

import warnings
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC
from sklearn.utils.class_weight import compute_sample_weight

from stages.common.params import TrainHeadParams
from stages.heads import lbfgs
from stages.heads.arrays import check_floats
from stages.scores import calibration
from stages.tables.features import Matrix

MAX_SKLEARN_ROWS = 5_000  # to which scikit-learn's solver fits a logistic head


def fit(
    X: Matrix,
    y: np.ndarray,
    value: float,
    settings: TrainHeadParams,
    *,
    start: Any = None,
    moments: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    is_trial: bool = False,
) -> Any:
    """Fit a classifier of kind `settings.kind`.

    Args:
        X: (rows, dim) float32.
        y: (rows,) label indices; for knn also (rows, labels), 1 where a row has a label and else 0.
        value: the number of neighbours for knn, else C.
        start: a classifier of the same kind, rows and labels with another value, which saves steps of `lbfgs`.
        moments: the `lbfgs.second_moments` of these rows, or of rows like them, where they are known already.
        weights: (rows,) what every row counts, beside `class_weight`; knn and mlp take none.
        is_trial: whether the classifier is only compared with those of other values of C, for which less will do.
    """
    if not is_for_lbfgs(X.shape[0], settings):
        return _build(value, settings).fit(X, y, **({} if weights is None else {"sample_weight": weights}))
    labels = int(y.max()) + 1
    zeros = np.zeros((X.shape[1] + 1, labels if labels > 2 else 1))
    return fit_on_blocks(
        lbfgs.blocks(X),
        y,
        value,
        settings,
        start=zeros if start is None else layer(start),
        moments=lbfgs.second_moments(X) if moments is None else moments,
        row_weights=weights,
        tolerance=lbfgs.SPARSE_TRIAL_TOLERANCE if is_trial and sparse.issparse(X) else lbfgs.TOLERANCE,
    )


def layer(estimator: LogisticRegression) -> np.ndarray:
    """Give coefficients and, in the last row, intercepts of a logistic classifier: (dim + 1, labels or 1)."""
    return np.vstack([estimator.coef_.T, estimator.intercept_])


def is_for_lbfgs(rows: int, settings: TrainHeadParams) -> bool:
    """Tell whether `lbfgs` takes the place of scikit-learn's solver: for logistic heads on many rows.

    scikit-learn takes few rows in no time, and heads on them stay what they were.
    """
    return settings.kind == "logistic" and rows > MAX_SKLEARN_ROWS


def fit_on_blocks(
    parts: lbfgs.Blocks,
    y: np.ndarray,
    C: float,
    settings: TrainHeadParams,
    *,
    start: np.ndarray,
    moments: np.ndarray,
    row_weights: np.ndarray | None = None,
    tolerance: float = lbfgs.TOLERANCE,
) -> LogisticRegression:
    """Fit a logistic classifier on rows that come in blocks.

    Args:
        parts: of (rows, dim) float32, the same in every pass.
        y: (rows,) label indices, every one from 0 to the highest.
        start: (dim + 1, labels or 1), as `layer` gives it, such as zeros or the solution for a sample of the rows.
        moments: the `lbfgs.second_moments` of these rows, or of rows like them.
        row_weights: (rows,) what every row counts, beside `class_weight`.
        tolerance: of `lbfgs.fit`.
    """
    estimator: LogisticRegression = _build(C, settings)
    weights = compute_sample_weight(settings.class_weight, y)
    if row_weights is not None:
        weights = weights * row_weights
    W = lbfgs.fit(parts, y, C=C, weights=weights, start=start, moments=moments, tolerance=tolerance)
    W = W.astype(np.float32)
    estimator.coef_, estimator.intercept_ = np.ascontiguousarray(W[:-1].T), W[-1]
    estimator.classes_ = np.arange(int(y.max()) + 1)
    estimator.n_features_in_ = len(W) - 1
    return estimator


def restored(loaded: Any) -> Any:
    """Make a classifier, or a list of them, from the numbers of one that came from a file, after a check of each.

    A loaded classifier is not used itself: its code trusts its attributes, and reads memory beyond an array whose
    indices are wrong.

    Raises:
        ValueError: a number is missing, or is not of the type, shape or range that the kind of classifier has.
    """
    if isinstance(loaded, list):
        if any(isinstance(one, list | KNeighborsClassifier) for one in loaded):
            raise ValueError("it holds a list of others than binary classifiers")
        return [restored(one) for one in loaded]
    numbers = getattr(loaded, "__dict__", {})
    try:
        if isinstance(loaded, KNeighborsClassifier):
            y = numbers["_y"]
            if isinstance(y, np.ndarray) and y.ndim == 2:
                y = _restored_labels(y, numbers["classes_"])
            return _restored_knn(numbers["_fit_X"], y, numbers["n_neighbors"])
        if isinstance(loaded, MLPClassifier):
            return _restored_mlp(numbers["coefs_"], numbers["intercepts_"])
        if isinstance(loaded, LogisticRegression | LinearSVC | RidgeClassifier):
            return _restored_linear(type(loaded), numbers["coef_"], numbers["intercept_"])
    except KeyError as error:
        raise ValueError(f"it lacks {error}") from None
    raise ValueError(f"it holds a {type(loaded).__name__}, not a head")


def neighbor_labels(estimator: KNeighborsClassifier) -> np.ndarray:
    """Tell which labels the rows of a k-NN classifier of several labels have: (rows, labels) of 0 and 1.

    scikit-learn keeps them as indices into the values of a label, which can be a single one.
    """
    return np.stack([values[column] for values, column in zip(estimator.classes_, estimator._y.T, strict=True)], axis=1)


def _restored_knn(X: Any, y: Any, neighbors: Any) -> KNeighborsClassifier:
    if isinstance(X, sparse.csr_matrix):
        X.check_format(full_check=True)  # the constructor does not check the indices
        check_floats("the values of _fit_X", X.data, 1)
    else:
        check_floats("_fit_X", X, 2)
    if not isinstance(y, np.ndarray) or y.dtype.kind != "i" or y.ndim not in (1, 2) or y.shape[:1] != X.shape[:1]:
        raise ValueError("_y is not an array of one whole number per training row")
    present = np.unique(y)
    if len(y) == 0 or (y.ndim == 1 and (present[0] != 0 or present[-1] != len(present) - 1)):
        raise ValueError("_y does not number the labels from 0")
    if type(neighbors) is not int or not 1 <= neighbors <= len(y):
        raise ValueError(f"n_neighbors is {neighbors!r}, but must be from 1 to the {len(y)} training rows")
    # Fitting stores the rows, and nothing else.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes")
        return _build(neighbors, TrainHeadParams(kind="knn")).fit(X, y)


def _restored_labels(y: np.ndarray, values: Any) -> np.ndarray:
    """Give the labels of k-NN's rows, (rows, labels) of 0 and 1, from indices into the `values` of every label."""
    if not isinstance(values, list) or len(values) != y.shape[1] or y.dtype.kind != "i":
        raise ValueError("classes_ does not list the values of every label of _y")
    columns = []
    for column, present in zip(y.T, values, strict=True):
        is_binary = isinstance(present, np.ndarray) and present.ndim == 1 and set(present.tolist()) <= {0, 1}
        if not is_binary or not ((column >= 0) & (column < len(present))).all():
            raise ValueError("_y and classes_ are not 0 or 1 for every label")
        columns.append(present[column])
    return np.stack(columns, axis=1).astype(np.int64)


def _restored_mlp(weights: Any, biases: Any) -> MLPClassifier:
    if not isinstance(weights, list) or not isinstance(biases, list) or not len(weights) == len(biases) > 0:
        raise ValueError("coefs_ and intercepts_ are not lists of as many layers")
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        check_floats(f"coefs_[{layer}]", weight, 2)
        check_floats(f"intercepts_[{layer}]", bias, 1)
        if (
            0 in weight.shape
            or weight.shape[1:] != bias.shape
            or (layer and weight.shape[0] != weights[layer - 1].shape[1])
        ):
            raise ValueError(f"layer {layer} is of {weight.shape} and {bias.shape}, which does not fit the others")
    outputs = weights[-1].shape[1]
    mlp = MLPClassifier()
    mlp.coefs_, mlp.intercepts_, mlp.n_layers_, mlp.n_outputs_ = weights, biases, len(weights) + 1, outputs
    mlp.out_activation_ = "logistic" if outputs == 1 else "softmax"
    mlp.classes_ = np.arange(max(outputs, 2))
    mlp.n_features_in_ = weights[0].shape[0]
    return mlp


def _restored_linear(kind: type, weight: Any, bias: Any) -> Any:
    rows = check_floats("coef_", np.atleast_2d(weight), 2)  # ridge has one dimension for two labels
    biases = check_floats("intercept_", np.atleast_1d(bias), 1)
    if len(rows) != len(biases) or len(rows) == 2 or 0 in rows.shape:
        raise ValueError(f"coef_ is of {rows.shape} and intercept_ of {biases.shape}, which is no layer")
    estimator = kind()
    estimator.coef_, estimator.intercept_ = weight, bias
    estimator.classes_ = np.arange(max(len(rows), 2))
    estimator.n_features_in_ = rows.shape[1]
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
