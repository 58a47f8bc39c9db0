"""Heads for numbers: the ridge regression that they fit, and the C that they choose."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import Ridge

from stages.common.params import TrainHeadParams
from stages.heads import numbers


def data(rows: int = 120) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    X = generator.normal(size=(rows, 8)).astype(np.float32)
    return X, 40 + 30 * X[:, 0] + 3 * generator.normal(size=rows)


@pytest.mark.parametrize("C", [0.01, 10.0])
def test_a_head_is_the_ridge_regression_of_scikit_learn(C: float) -> None:
    X, T = data()
    head, chosen = numbers.fit(X, T, TrainHeadParams(C=(C,)))
    wanted = Ridge(alpha=1 / (2 * C)).fit(X.astype(np.float64), (T - T.mean()) / T.std())
    np.testing.assert_allclose(head.outputs(X)[:, 0], wanted.predict(X) * T.std() + T.mean(), atol=1e-6)
    assert chosen.value == C and chosen.folds == 0
    weight, bias = head.layer()
    assert weight.shape == (1, 8) and bias.shape == (1,)


def test_sparse_features_give_the_same_head() -> None:
    X, T = data()
    X[np.abs(X) < 1] = 0
    dense, thin = (numbers.fit(part, T, TrainHeadParams(C=(1.0,)))[0] for part in (X, sparse.csr_matrix(X)))
    np.testing.assert_allclose(thin.outputs(sparse.csr_matrix(X)), dense.outputs(X), atol=1e-4)


def test_c_is_the_one_of_the_lowest_squared_error_out_of_fold() -> None:
    X, T = data()
    _, chosen = numbers.fit(X, T, TrainHeadParams(C=(1e-4, 10.0)))
    assert chosen.value == 10 and chosen.folds == 5 and chosen.squared_errors[1] < 0.05 < chosen.squared_errors[0]


def test_rows_of_a_group_are_judged_by_a_head_without_them() -> None:
    X, T = data()
    T[:60], groups = 100, np.repeat(["one", "a", "b", "c"], [60, 20, 20, 20])
    judged = numbers.out_of_fold(X, T, 10.0, TrainHeadParams(), groups)
    alone = numbers.fit(X[60:], T[60:], TrainHeadParams(C=(10.0,)))[0]
    np.testing.assert_allclose(judged[:60], alone.outputs(X[:60]), rtol=0.05)
