"""The solver for large tables finds the minimum that scikit-learn finds, in few passes over the rows."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.optimize
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


def valley(size: int = 50) -> Any:
    """A convex loss that is steep in one direction and flat in another, with its lowest point at 1 and value 3."""
    steepness = np.geomspace(0.1, 100, size)

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        away = x - 1
        return 3 + float((steepness * (np.logaddexp(away, -away) - np.log(2))).sum()), steepness * np.tanh(away)

    return loss


def test_it_needs_no_more_passes_than_scipys_solver() -> None:
    passes = []

    def counted(x: np.ndarray) -> tuple[float, np.ndarray]:
        passes[-1] += 1
        return valley()(x)

    passes.append(0)
    x = lbfgs.minimize(counted, np.zeros(50), tolerance=1e-5, memory=10)
    passes.append(0)
    options = {"maxiter": 1_000, "gtol": 1e-5, "ftol": 1e-10, "maxcor": 10}
    wanted = scipy.optimize.minimize(counted, np.zeros(50), jac=True, method="L-BFGS-B", options=options)
    assert valley()(x)[0] <= wanted.fun + 1e-6 and passes[0] <= 1.2 * passes[1]


@pytest.mark.parametrize("scale", [1e-2, 1, 1e6])
def test_it_finds_the_lowest_point_from_steps_that_are_much_too_long_or_too_short(scale: float) -> None:
    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = valley()(x * scale)
        return value, gradient * scale

    x = lbfgs.minimize(loss, np.zeros(50), tolerance=1e-7 * scale, memory=10)
    assert loss(x)[0] == pytest.approx(3, abs=1e-4)


def test_where_rounding_hides_the_slope_it_ends_at_the_lowest_point_that_it_saw() -> None:
    seen: list[float] = []

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = valley()(x)
        seen.append(float(np.float16(value)))  # three digits
        return seen[-1], gradient

    x = lbfgs.minimize(loss, np.zeros(50), tolerance=0, memory=5)
    assert len(seen) < 400 and loss(x)[0] == min(seen)


def test_a_step_to_where_the_loss_is_no_number_is_made_shorter() -> None:
    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = valley()(x)
        return (value, gradient) if np.abs(x).max() < 3 else (float("nan"), gradient * float("nan"))

    x = lbfgs.minimize(loss, np.full(50, -2.0), tolerance=1e-7, memory=5)
    assert loss(x)[0] == pytest.approx(3, abs=1e-4)


def test_it_returns_where_it_started_if_that_is_the_lowest_point() -> None:
    np.testing.assert_array_equal(lbfgs.minimize(valley(), np.ones(50), tolerance=1e-9, memory=5), np.ones(50))
