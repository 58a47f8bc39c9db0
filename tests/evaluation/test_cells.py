"""Near-duplicates are found without comparing all pairs, in nearly all cases."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from stages.evaluation import cells, cosine_bounds, near_duplicates
from stages.scores import nearest_rows


def tables(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Training and test rows; every second test row lies at a cosine of 0.97 to 1 from a training row."""
    generator = np.random.default_rng(0)
    train, test = (generator.normal(size=(rows, 24)) for rows in (4_000, 600))
    if kind == "clusters":
        centres = generator.normal(size=(30, 24))
        train, test = (centres[np.arange(len(X)) % 30] + 0.5 * X for X in (train, test))
    if kind == "far from zero":  # as of models without training: all cosines are high
        train, test = (X + 30 for X in (train, test))
    unit = nearest_rows.unit(train[::13][:300])
    away = test[::2] - test[1::2]
    away = nearest_rows.unit(away - (away * unit).sum(axis=1, keepdims=True) * unit)
    cosine = generator.uniform(0.97, 1, size=(300, 1))
    test[::2] = cosine * unit + np.sqrt(1 - cosine**2) * away
    return train.astype(np.float32), test.astype(np.float32)


@pytest.mark.parametrize("wrap", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("kind", ["gauss", "clusters", "far from zero"])
def test_nearly_all_pairs_are_found_with_their_nearest_row(
    kind: str, wrap: type[sparse.csr_matrix], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = tables(kind)
    exact = near_duplicates.find(wrap(train), wrap(test), 0.98)
    assert len(exact) >= 180
    monkeypatch.setattr(cells, "MAX_ROWS_PER_PASS", 400)
    monkeypatch.setattr(cells, "ROWS_PER_BLOCK", 100)
    monkeypatch.setattr(cells, "COSINES_PER_BLOCK", 4_000)
    monkeypatch.setattr(near_duplicates, "MAX_FULL_PAIRS", 0)
    assert_all_in(near_duplicates.find(wrap(train), wrap(test), 0.98), exact, share=1)
    monkeypatch.setattr(near_duplicates, "MAX_EXACT_PAIRS", 0)
    pairs = near_duplicates.find(wrap(train), wrap(test), 0.98)
    assert_all_in(pairs, exact, share=0.99)


def assert_all_in(pairs: pd.DataFrame, exact: pd.DataFrame, *, share: float) -> None:
    """Assert that the pairs are at least this share of the exact ones; of rows that are as near, either will do."""
    both = exact.merge(pairs, on="test", suffixes=("", "_found"))
    is_same = np.abs(both["cosine_found"] - both["cosine"]) < 1e-6
    assert is_same.sum() >= share * len(exact)
    assert set(pairs["test"]) <= set(exact["test"])


def test_few_cells_are_compared_where_features_tell_rows_apart() -> None:
    train, test = tables("clusters")
    divided = cells._divided(train, 0.98, visit_all=False)
    assert len(divided.leaders) == 252 and sorted(divided.members) == list(range(4_000))
    assert divided.probes < 40, "of 252"
    first, again = (cells.find(train, test, 0.98) for _ in range(2))
    assert all(np.array_equal(*values) for values in zip(first, again, strict=True)), "the same in every run"


@pytest.mark.parametrize("visit_all", [False, True])
def test_every_row_has_its_nearest_one_where_all_are_looked_for(visit_all: bool) -> None:
    train, test = tables("gauss")
    nearest, cosines = nearest_rows.find(train, test, 1)
    found = cells.find(train, test, float(cosines.min()), visit_all=visit_all)
    is_same = found[0] == nearest.ravel()
    assert is_same.all() if visit_all else is_same.mean() > 0.99
    np.testing.assert_allclose(found[1][is_same], cosines.ravel()[is_same], atol=1e-6)


def test_bounds_are_no_lower_than_the_cosines_and_close_where_rows_differ_in_few_directions() -> None:
    generator = np.random.default_rng(0)
    train = generator.normal(size=(3_000, 12)) @ generator.normal(size=(12, 128)) + 5
    rows = nearest_rows.unit((train + 0.001 * generator.normal(size=train.shape)).astype(np.float32))
    short = cosine_bounds.shortener(rows, 0.98, 60)(rows)
    assert short.shape == (3_000, 17) and short.dtype == np.float32
    difference = short[:500] @ short.T - rows[:500] @ rows.T
    assert difference.min() >= -cosine_bounds.MARGIN and difference.max() < 1e-3


def test_vectors_are_short_where_axes_save_nothing_and_sparse_rows_stay_as_they_are() -> None:
    rows = nearest_rows.unit(np.random.default_rng(0).normal(size=(2_000, 64)).astype(np.float32))
    assert cosine_bounds.shortener(rows, 0.0, 40)(rows).shape == (2_000, 17)
    sparse_rows = sparse.csr_matrix(rows)
    assert cosine_bounds.shortener(sparse_rows, 0.98, 40)(sparse_rows) is sparse_rows


def test_rows_without_direction_and_tables_of_one_row() -> None:
    train = np.zeros((50, 4), dtype=np.float32)
    assert cells.find(train, train[:3], 0.9)[1].tolist() == [-1, -1, -1]
    one = np.ones((1, 4), dtype=np.float32)
    nearest, cosines = cells.find(one, np.vstack([one, -one]), 0.9)
    assert nearest.tolist() == [0, 0] and cosines[0] == pytest.approx(1)
