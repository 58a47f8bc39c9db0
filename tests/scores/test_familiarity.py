"""Distances to the training rows, and their percentiles."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from stages.scores import familiarity


@pytest.mark.parametrize("wrap", [np.asarray, sparse.csr_matrix])
def test_distances_are_those_of_scikit_learn(wrap: type) -> None:
    generator = np.random.default_rng(0)
    train, rows = (generator.normal(size=(n, 8)).astype(np.float32) for n in (50, 7))
    oracle = NearestNeighbors(n_neighbors=2, metric="cosine").fit(train)
    own = np.sort(oracle.kneighbors()[0].mean(axis=1))
    assert familiarity.leave_one_out(wrap(train)) == pytest.approx(own, abs=1e-5)
    wanted = pytest.approx(oracle.kneighbors(rows)[0].mean(axis=1), abs=1e-5)
    assert familiarity.distances(wrap(train), wrap(rows)) == wanted
    unit = train / np.linalg.norm(train, axis=1, keepdims=True)
    assert familiarity.distances(wrap(unit), wrap(rows), is_unit=True) == wanted


def test_a_percentile_is_the_share_of_training_rows_that_are_nearer() -> None:
    known = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    assert familiarity.percentiles(known, np.array([0, 0.1, 0.25, 0.4, 2], np.float32)).tolist() == [0, 0, 50, 75, 100]


def test_rows_like_the_training_rows_are_spread_evenly_and_others_are_unfamiliar() -> None:
    generator = np.random.default_rng(0)
    train, like, other = (generator.normal(size=(n, 16)) + shift for n, shift in ((500, 3), (500, 3), (20, -3)))
    known = familiarity.leave_one_out(train)
    assert familiarity.percentiles(known, familiarity.distances(train, like)).mean() == pytest.approx(50, abs=5)
    assert familiarity.percentiles(known, familiarity.distances(train, other)).min() == 100


def test_two_rows_and_rows_of_zeros_have_distances_too() -> None:
    assert np.isfinite(familiarity.leave_one_out(np.eye(2, dtype=np.float32))).all()
    assert familiarity.distances(np.eye(2, dtype=np.float32), np.zeros((1, 2), np.float32)).tolist() == [1]
