"""The solver for large tables finds the minimum that scikit-learn finds."""

from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from stages.heads import lbfgs


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("C", [0.1, 10, 1000])
def test_the_minimum_is_that_of_scikit_learn(C: float, form: Any) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 500)
    X = (rng.normal(size=(500, 20)) + np.eye(4, 20)[y]).astype(np.float32)
    weights = rng.uniform(0.5, 2, 500)
    solver = LogisticRegression(C=C, max_iter=10_000, tol=1e-9)
    wanted = solver.fit(X.astype(np.float64), y, sample_weight=weights)
    zeros = np.zeros((21, 4))
    cold = lbfgs.fit([form(X)], y, C=C, weights=weights, start=zeros)
    other = lbfgs.fit([form(X)], y, C=C / 10, weights=weights, start=zeros)
    warm = lbfgs.fit([form(X)], y, C=C, weights=weights, start=other)
    in_blocks = lbfgs.fit([form(X[:7]), form(X[7:300]), form(X[300:])], y, C=C, weights=weights, start=other)
    for weight in (cold, warm, in_blocks):
        np.testing.assert_allclose(weight[:-1].T, wanted.coef_, atol=2e-3)
        np.testing.assert_allclose(X @ weight[:-1] + weight[-1], wanted.decision_function(X), atol=1e-2)


@pytest.mark.parametrize("C", [0.1, 10])
def test_two_labels_can_have_one_column(C: float) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 500)
    X = (rng.normal(size=(500, 20)) + np.eye(2, 20)[y]).astype(np.float32)
    wanted = LogisticRegression(C=C, max_iter=10_000, tol=1e-9).fit(X.astype(np.float64), y)
    weight = lbfgs.fit([X[:100], X[100:]], y, C=C, weights=np.ones(500), start=np.zeros((21, 1)))
    np.testing.assert_allclose(weight[:-1].T, wanted.coef_, atol=2e-3)
    np.testing.assert_allclose(weight[-1], wanted.intercept_, atol=2e-3)
