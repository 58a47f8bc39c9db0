"""LogME equals its definition on three routes: the authors' algorithm, direct maximisation, and known extremes."""

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from stages.scores.logme import logme


def sample(rows: int, dim: int, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    return generator.normal(size=(rows, dim)) + 2 * generator.normal(size=(classes, dim))[y], y


def by_the_authors(F: np.ndarray, y: np.ndarray) -> float:
    """Algorithm 1 of You et al. 2021, on full matrices."""
    n, dim = F.shape
    evidences = []
    for k in range(y.max() + 1):
        target = (y == k).astype(float)
        alpha = beta = 1.0
        for _ in range(500):
            A = alpha * np.eye(dim) + beta * F.T @ F
            m = beta * np.linalg.solve(A, F.T @ target)
            eigenvalues = beta * np.linalg.svd(F, compute_uv=False) ** 2
            gamma = (eigenvalues / (alpha + eigenvalues)).sum()
            alpha, beta = gamma / (m @ m), (n - gamma) / ((F @ m - target) ** 2).sum()
        A = alpha * np.eye(dim) + beta * F.T @ F
        m = beta * np.linalg.solve(A, F.T @ target)
        evidence = n / 2 * np.log(beta) + dim / 2 * np.log(alpha) - n / 2 * np.log(2 * np.pi)
        evidence -= beta / 2 * ((F @ m - target) ** 2).sum() + alpha / 2 * m @ m + np.linalg.slogdet(A)[1] / 2
        evidences.append(evidence / n)
    return float(np.mean(evidences))


def by_maximising(F: np.ndarray, y: np.ndarray) -> float:
    """The density of the labels under the model, maximised over log alpha and log beta."""

    def loss(logs: np.ndarray, target: np.ndarray) -> float:
        covariance = np.eye(len(y)) / np.exp(logs[1]) + F @ F.T / np.exp(logs[0])
        return float(-multivariate_normal.logpdf(target, np.zeros(len(y)), covariance) / len(y))

    targets = [(y == k).astype(float) for k in range(y.max() + 1)]
    options = {"xatol": 1e-6, "fatol": 1e-12}
    best = [minimize(loss, [1.0, 1.0], (target,), method="Nelder-Mead", options=options).fun for target in targets]
    return float(-np.mean(best))


@pytest.mark.parametrize(("rows", "dim"), [(60, 5), (30, 40)])
def test_logme_is_the_maximum_of_the_evidence(rows: int, dim: int) -> None:
    F, y = sample(rows, dim)
    assert logme(F, y) == pytest.approx(by_the_authors(F, y), abs=1e-6)
    assert logme(F, y) == pytest.approx(by_maximising(F, y), abs=1e-6)
    assert logme(sparse.csr_matrix(F), y) == pytest.approx(logme(F, y), abs=1e-9)


def test_features_that_tell_classes_apart_score_higher() -> None:
    F, y = sample(90, 8)
    noise = np.random.default_rng(1).normal(size=F.shape)
    assert logme(F, y) > logme(F + 2 * noise, y) > logme(noise, y)


def test_features_without_any_information_score_as_noise_alone() -> None:
    y = np.arange(40) % 4
    wanted = -(np.log(2 * np.pi * 0.25) + 1) / 2  # of the variance around 0: a quarter of the rows are 1
    assert logme(np.zeros((40, 3)), y) == pytest.approx(wanted)
    assert logme(sparse.csr_matrix((40, 3)), y) == pytest.approx(wanted)


def test_a_perfect_fit_is_finite_and_best() -> None:
    y = np.arange(40) % 4
    perfect = logme(np.eye(4)[y], y)
    assert np.isfinite(perfect) and perfect > logme(sample(40, 4, 4)[0], y)


def test_labels_without_rows_do_not_count() -> None:
    F, y = sample(60, 5)
    assert logme(F, 2 * y) == pytest.approx(logme(F, y))
