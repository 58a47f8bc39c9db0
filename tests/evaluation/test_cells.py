"""Near-duplicates are found without comparing all pairs, in nearly all cases."""

import numpy as np
import pytest
from scipy import sparse

from stages.evaluation import cells, near_duplicates, nearest_rows


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
    monkeypatch.setattr(near_duplicates, "MAX_EXACT_PAIRS", 0)
    monkeypatch.setattr(cells, "ROWS_PER_PASS", 250)
    monkeypatch.setattr(cells, "ROWS_PER_BLOCK", 100)
    pairs = near_duplicates.find(wrap(train), wrap(test), 0.98)
    assert len(exact) >= 180
    both = exact.merge(pairs, on=["test", "train"], suffixes=("", "_found"))
    assert len(both) >= 0.99 * len(exact)
    assert set(pairs["test"]) <= set(exact["test"])
    np.testing.assert_allclose(both["cosine_found"], both["cosine"], atol=1e-6)
    assert near_duplicates.find(wrap(train), wrap(test), 0.98).equals(pairs), "the same in every run"


def test_few_cells_are_compared_where_features_tell_rows_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = tables("clusters")
    leaders, members, probes = cells._cells(train, 0.98)
    assert len(leaders) == 63 and members.shape == (4_000,) and probes < 16
    exact = []
    monkeypatch.setattr(nearest_rows, "find", lambda *args: exact.append(args))
    cells.find(train, test, 0.98)
    assert not exact


def test_all_pairs_are_compared_where_cells_save_nothing() -> None:
    train, test = tables("gauss")
    wanted = nearest_rows.find(train, test, 1)
    for values, exact in zip(cells.find(train, test, -1.0), wanted, strict=True):
        np.testing.assert_array_equal(values, exact.ravel())


def test_rows_without_direction_and_tables_of_one_row() -> None:
    train = np.zeros((50, 4), dtype=np.float32)
    assert cells.find(train, train[:3], 0.9)[1].tolist() == [0, 0, 0]
    one = np.ones((1, 4), dtype=np.float32)
    nearest, cosines = cells.find(one, np.vstack([one, -one]), 0.9)
    assert nearest.tolist() == [0, 0] and cosines[0] == pytest.approx(1)
