import numpy as np
import pytest
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from stages.scores import nearest_rows


def vectors(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 16)).astype(np.float32)


@pytest.mark.parametrize("wrap", [np.asarray, sparse.csr_matrix])
def test_the_nearest_training_rows_are_those_of_scikit_learn(
    wrap: type[sparse.csr_matrix], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, rows = vectors(60, 0), vectors(20, 1)
    distances, expected = NearestNeighbors(n_neighbors=5, metric="cosine").fit(train).kneighbors(rows)
    for block, part in ((2**24, 2**17), (60 * 3, 2**17), (2**24, 7), (20, 3)):
        monkeypatch.setattr(nearest_rows, "COSINES_PER_BLOCK", block)
        monkeypatch.setattr(nearest_rows, "TRAIN_ROWS_PER_PART", part)
        nearest, cosines = nearest_rows.find(wrap(train), wrap(rows), 5)
        assert nearest.tolist() == expected.tolist()
        np.testing.assert_allclose(cosines, 1 - distances, atol=1e-6)


@pytest.mark.parametrize("columns", [1_000, 1_003, 127])
def test_the_highest_of_many_columns_are_looked_for_by_groups(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    cosines = np.random.default_rng(0).normal(size=(40, columns)).astype(np.float32)
    cosines[:, -1] = np.linspace(-4, 4, 40)  # in the last group, or behind it
    monkeypatch.setattr(nearest_rows, "MIN_GROUPED_COLUMNS", 0)
    monkeypatch.setattr(nearest_rows, "COLUMNS_PER_GROUP", 25)
    assert nearest_rows._highest(cosines, 5).tolist() == np.argsort(-cosines, axis=1)[:, :5].tolist()


@pytest.mark.parametrize("part", [1, 3, 2**17])
def test_of_equal_rows_the_first_comes_first(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_rows, "TRAIN_ROWS_PER_PART", part)
    train = np.ones((4, 2), dtype=np.float32)
    nearest, cosines = nearest_rows.find(train, train[:1], 4)
    assert nearest.tolist() == [[0, 1, 2, 3]] and cosines.max() <= 1


def test_there_may_be_fewer_training_rows_or_none_and_zeros_have_no_direction() -> None:
    assert nearest_rows.find(vectors(3, 0), vectors(2, 1), 5)[0].shape == (2, 3)
    assert nearest_rows.find(vectors(0, 0), vectors(2, 1), 5)[0].shape == (2, 0)
    assert nearest_rows.find(vectors(3, 0), vectors(0, 1), 5)[0].shape == (0, 3)
    assert nearest_rows.find(vectors(3, 0), np.zeros((1, 16), np.float32), 2)[1].tolist() == [[0, 0]]


def test_vectors_in_half_precision_are_compared_in_single() -> None:
    train, rows = (300 * vectors(count, seed).astype(np.float16) for count, seed in ((60, 0), (20, 1)))
    expected = nearest_rows.find(train.astype(np.float32), rows.astype(np.float32), 3)
    for halved, single in zip(nearest_rows.find(train, rows, 3), expected, strict=True):
        np.testing.assert_array_equal(halved, single)
