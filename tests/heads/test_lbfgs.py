"""The solver for large tables finds the minimum that scikit-learn finds, in few passes over the rows."""

from collections.abc import Iterator
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
    fixed = {"weights": weights, "moments": lbfgs.second_moments(form(X))}
    cold = lbfgs.fit([form(X)], y, C=C, start=zeros, **fixed)
    other = lbfgs.fit([form(X)], y, C=C / 10, start=zeros, **fixed)
    warm = lbfgs.fit([form(X)], y, C=C, start=other, **fixed)
    in_blocks = lbfgs.fit([form(X[:7]), form(X[7:300]), form(X[300:])], y, C=C, start=other, **fixed)
    for weight in (cold, warm, in_blocks):
        np.testing.assert_allclose(weight[:-1].T, wanted.coef_, atol=2e-3)
        np.testing.assert_allclose(X @ weight[:-1] + weight[-1], wanted.decision_function(X), atol=1e-2)


@pytest.mark.parametrize("C", [0.1, 10])
def test_two_labels_can_have_one_column(C: float) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 500)
    X = (rng.normal(size=(500, 20)) + np.eye(2, 20)[y]).astype(np.float32)
    wanted = LogisticRegression(C=C, max_iter=10_000, tol=1e-9).fit(X.astype(np.float64), y)
    weight = lbfgs.fit(
        [X[:100], X[100:]], y, C=C, weights=np.ones(500), start=np.zeros((21, 1)), moments=lbfgs.second_moments(X)
    )
    np.testing.assert_allclose(weight[:-1].T, wanted.coef_, atol=2e-3)
    np.testing.assert_allclose(weight[-1], wanted.intercept_, atol=2e-3)


class Counted:
    """Blocks that count how often they are read."""

    def __init__(self, X: np.ndarray) -> None:
        self.blocks, self.passes = lbfgs.blocks(X), 0

    def __iter__(self) -> Iterator[np.ndarray]:
        self.passes += 1
        return iter(self.blocks)


def uneven(rows: int, dim: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Features as pretrained models have them: a mean far from 0, and directions that vary a thousandfold."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, rows)
    X = rng.normal(size=(rows, dim)) + np.eye(3, dim)[y]
    return (X * np.geomspace(1, 1e-3, dim) + 2).astype(np.float32), y


def test_moments_save_most_of_the_passes_over_uneven_features() -> None:
    X, y = uneven(3_000)
    passes, losses = [], []
    whole = lbfgs.second_moments(X)
    for known in (whole, np.ones(len(whole))):
        parts = Counted(X)
        W = lbfgs.fit(parts, y, C=100, weights=np.ones(len(y)), start=np.zeros((61, 3)), moments=known)
        scores = X.astype(np.float64) @ W[:-1] + W[-1]
        own = scores[np.arange(len(y)), y]
        loss = (np.log(np.exp(scores - own[:, None]).sum(axis=1))).mean() + (W[:-1] ** 2).sum() / (200 * len(y))
        passes.append(parts.passes)
        losses.append(loss)
    assert passes[0] <= 25 and passes[0] * 3 < passes[1]
    assert losses[0] < losses[1] + 1e-6


def test_sparse_rows_come_in_large_blocks_since_a_gradient_of_many_features_costs_as_much_for_few_rows() -> None:
    X = sparse.random(20_000, 300, density=0.01, format="csr", dtype=np.float32, random_state=0)
    parts = lbfgs.blocks(X)
    assert [part.shape[0] for part in parts] == [16_384, 3_616]
    assert (sparse.vstack(parts) != X).nnz == 0


def test_constant_and_repeated_features_are_no_obstacle() -> None:
    X, y = uneven(500, dim=5)
    X = np.hstack([X, X, np.zeros((500, 2), np.float32), np.full((500, 1), 1000, np.float32)])
    W = lbfgs.fit(
        lbfgs.blocks(X), y, C=1e6, weights=np.ones(500), start=np.zeros((14, 3)), moments=lbfgs.second_moments(X)
    )
    wanted = LogisticRegression(C=1e6, max_iter=10_000, tol=1e-8).fit(X[:, :5].astype(np.float64), y)
    assert np.isfinite(W).all()
    agree = (X @ W[:-1] + W[-1]).argmax(axis=1) == wanted.predict(X[:, :5])
    assert agree.mean() > 0.98


def test_moments_are_of_a_sample_of_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.sort(np.random.default_rng(0).normal(size=(5_000, 2)).astype(np.float32), axis=0)
    whole = lbfgs.second_moments(X)
    with_ones = np.hstack([X, np.ones((5_000, 1))])
    np.testing.assert_allclose(whole, with_ones.T @ with_ones / 5_000, atol=1e-5)
    monkeypatch.setattr(lbfgs, "MOMENT_ROWS", 1_000)
    part = lbfgs.second_moments(X)
    assert not np.array_equal(part, whole)
    np.testing.assert_allclose(part, whole, atol=0.1)
    np.testing.assert_array_equal(part, lbfgs.second_moments(X))


def test_of_many_or_sparse_features_there_is_the_diagonal(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    whole = lbfgs.second_moments(X)
    np.testing.assert_allclose(lbfgs.second_moments(sparse.csr_matrix(X)), np.diag(whole))
    monkeypatch.setattr(lbfgs, "MAX_MOMENT_DIM", 3)
    np.testing.assert_allclose(lbfgs.second_moments(X), np.diag(whole))
