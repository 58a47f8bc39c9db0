import numpy as np
import pytest
from pandas.testing import assert_frame_equal
from scipy import sparse

from stages.evaluation import near_duplicates
from stages.scores import nearest_rows


def vectors(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 32)).astype(np.float32)


@pytest.mark.parametrize("is_sparse", [False, True])
def test_planted_near_duplicates_are_listed_and_nothing_else(is_sparse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = vectors(50, 0), vectors(30, 1)
    test[7] = 3 * train[11] + 0.01 * test[7]
    test[29] = train[0]
    test[3] = 0
    wrap = sparse.csr_matrix if is_sparse else np.asarray
    pairs = near_duplicates.find(wrap(train), wrap(test), 0.95)
    assert pairs[["test", "train"]].to_numpy().tolist() == [[29, 0], [7, 11]]
    first, second = pairs["cosine"]
    assert first == pytest.approx(1) and 0.95 < second <= first <= 1
    monkeypatch.setattr(nearest_rows, "COSINES_PER_BLOCK", 50 * 4)
    assert_frame_equal(near_duplicates.find(wrap(train), wrap(test), 0.95), pairs)


def test_every_test_row_is_paired_with_its_nearest_training_row() -> None:
    train, test = vectors(200, 2), vectors(40, 3)
    pairs = near_duplicates.find(train, test, 1e-9)
    unit = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in (train, test)]
    cosines = unit[1] @ unit[0].T
    assert dict(zip(pairs["test"], pairs["train"], strict=True)) == dict(enumerate(cosines.argmax(axis=1)))
    assert pairs["cosine"].is_monotonic_decreasing


def test_no_training_rows_and_no_test_rows() -> None:
    assert near_duplicates.find(vectors(0, 0), vectors(3, 0), 0.9).empty
    assert near_duplicates.find(vectors(3, 0), vectors(0, 0), 0.9).empty
