"""The solver for large tables finds the minimum that scikit-learn finds."""

from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from stages import logistic


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("C", [0.1, 10, 1000])
def test_the_minimum_is_that_of_scikit_learn(C: float, form: Any) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 500)
    X = (rng.normal(size=(500, 20)) + np.eye(4, 20)[y]).astype(np.float32)
    weights = rng.uniform(0.5, 2, 500)
    solver = LogisticRegression(C=C, max_iter=10_000, tol=1e-9)
    wanted = solver.fit(X.astype(np.float64), y, sample_weight=weights)
    cold = logistic.fit(form(X), y, C=C, weights=weights)
    warm = logistic.fit(form(X), y, C=C, weights=weights, start=logistic.fit(form(X), y, C=C / 10, weights=weights))
    for found in (cold, warm):
        np.testing.assert_allclose(found[:-1].T, wanted.coef_, atol=2e-3)
        np.testing.assert_allclose(X @ found[:-1] + found[-1], wanted.decision_function(X), atol=1e-2)
