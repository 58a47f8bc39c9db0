"""Heads for ordered labels: the model that they fit, and what they do with labels that rows lack."""

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from stages.common.params import TrainHeadParams
from stages.heads import ordered, training
from stages.heads.ordered import OrderedHead
from stages.tasks.ordinal import Ordinal

TASK = Ordinal(("low", "middle", "high", "top"))


def data(rows: int, labels: int = 4, dim: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors and labels of a proportional-odds model."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(rows, dim)).astype(np.float32)
    scores = (2 * X[:, 0] - X[:, 1])[:, None] - np.linspace(-2, 2, labels - 1)
    return X, (generator.random((rows, 1)) < expit(scores)).sum(axis=1)


def fit(X: np.ndarray, y: np.ndarray, labels: int, **settings: object) -> LogisticRegression:
    params = TrainHeadParams.model_validate(settings)
    return ordered.fit_estimator(X, y, labels, C=params.C[0], settings=params)


@pytest.mark.parametrize("weight", [None, "balanced"])
def test_of_two_labels_it_is_the_logistic_regression_of_scikit_learn(weight: str | None) -> None:
    X, y = data(120, labels=2)
    wanted = LogisticRegression(C=3, class_weight=weight, tol=1e-9, max_iter=1_000).fit(X.astype(np.float64), y)
    head = fit(X, y, 2, C=[3.0], class_weight=weight)
    np.testing.assert_allclose(head.coef_, wanted.coef_, atol=1e-5)
    np.testing.assert_allclose(head.intercept_, wanted.intercept_, atol=1e-5)


def test_it_is_the_logistic_regression_of_all_thresholds_together() -> None:
    X, y = data(150)
    # A row for every threshold, with the threshold as a feature that is as good as not regularised.
    stacked = np.vstack([np.hstack([X, 1e4 * np.tile(np.eye(3)[k], (150, 1))]) for k in range(3)])
    above = np.concatenate([y > k for k in range(3)])
    wanted = LogisticRegression(C=2, fit_intercept=False, solver="newton-cholesky", tol=1e-10).fit(stacked, above)
    head = fit(X, y, 4, C=[2.0])
    np.testing.assert_allclose(head.coef_[0], wanted.coef_[0, :6], atol=1e-4)
    np.testing.assert_allclose(head.intercept_, 1e4 * wanted.coef_[0, 6:], atol=1e-4)
    assert (np.diff(head.intercept_) < 0).all()


def test_sparse_features_give_the_same_head() -> None:
    X, y = data(200)
    X[np.abs(X) < 1] = 0
    dense, thin = fit(X, y, 4, C=[1.0]), fit(sparse.csr_matrix(X), y, 4, C=[1.0])
    np.testing.assert_allclose(thin.coef_, dense.coef_, atol=1e-4)


def test_the_model_is_found_again() -> None:
    X, y = data(20_000)
    head = fit(X, y, 4, C=[100.0])
    np.testing.assert_allclose(head.coef_[0], [2, -1, 0, 0, 0, 0], atol=0.1)
    np.testing.assert_allclose(head.intercept_, [2, 0, -2], atol=0.1)


def test_a_threshold_without_rows_on_one_side_keeps_its_order() -> None:
    X, y = data(100, labels=3)
    head = OrderedHead(fit(X, y + 1, 5, C=[1.0]), ("none", *TASK.labels))
    P = head.probabilities(X)
    assert P.shape == (100, 5) and P.min() >= 0 and P[:, [0, 4]].max() < 0.05
    np.testing.assert_allclose(P.sum(axis=1), 1)


def test_c_is_the_one_of_the_lowest_log_loss_out_of_fold() -> None:
    X, y = data(300)
    head, chosen = ordered.fit(X, y, TASK, TrainHeadParams(C=(1e-4, 1.0)))
    assert chosen.value == 1 and chosen.folds == 5 and chosen.log_losses[1] < chosen.log_losses[0]
    assert head.temperature == 1 and head.layer()[0].shape == (3, 6)
    weight, bias = head.layer()
    np.testing.assert_allclose(X @ weight.T + bias, head.scores(X), atol=1e-6)


def test_with_all_rows_the_temperature_is_that_of_other_folds() -> None:
    X, y = data(60)
    head, chosen = ordered.fit(X, y, TASK, TrainHeadParams(C=(1e4,), final="all"))
    assert chosen.folds == 5 and head.temperature > 1.2, "such large coefficients are far too sure"


def test_a_head_without_some_labels_has_a_layer_for_all() -> None:
    X, y = data(100, labels=2)
    head, _ = training.fit_targets(X, np.where(y, 3, 1), Ordinal(("0", "1", "2", "3", "4")), TrainHeadParams(C=(1.0,)))
    assert head.labels == ("1", "3")
    weight, bias = training.layer(head, ("0", "1", "2", "3", "4"))
    own = head.layer()
    assert own is not None and weight.shape == (4, 6)
    assert bias.tolist() == [ordered.FAR, own[1][0], own[1][0], -ordered.FAR]
