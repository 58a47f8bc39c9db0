"""Rows that are worth labelling next."""

import numpy as np
import pytest
from scipy import sparse

from stages.suggestion import choosing

NONE = np.zeros((0, 8), dtype=np.float32)


def clusters(sizes: list[int], spread: float = 0.15, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors around as many axes as there are sizes, and which axis they are around."""
    rng = np.random.default_rng(seed)
    of_row = np.repeat(np.arange(len(sizes)), sizes)
    return (np.eye(8)[of_row] + spread * rng.normal(size=(len(of_row), 8))).astype(np.float32), of_row


def test_without_a_head_the_largest_clusters_come_first() -> None:
    X, cluster = clusters([200, 10, 100, 50])
    batch = choosing.choose(X, NONE, None, 50)
    assert cluster[batch.rows[:2]].tolist() == [0, 2] and {*cluster[batch.rows]} == {0, 1, 2, 3}
    assert batch.stands_for.sum() == 360 - 50
    assert choosing.choose(X, NONE, None, 2).stands_for.tolist()[1] >= 99


def test_clusters_without_labelled_rows_come_first() -> None:
    X, cluster = clusters([200, 10, 100, 50])
    batch = choosing.choose(X, np.eye(8, dtype=np.float32)[[0, 2]], None, 1)
    assert cluster[batch.rows].tolist() == [3]


def test_rows_of_which_the_head_is_unsure_come_first() -> None:
    X, cluster = clusters([200, 200])
    sure = np.where(cluster == 0, 0.99, 0.55)
    batch = choosing.choose(X, NONE, 2 * sure - 1, 3)
    assert cluster[batch.rows].tolist() == [1, 1, 1] and len(set(batch.rows)) == 3


def test_no_row_is_nearly_a_copy_of_another_or_of_a_labelled_one() -> None:
    X, _ = clusters([30, 30, 30], spread=0.3)
    copies = np.concatenate([X, X + 1e-3, 2 * X])
    batch = choosing.choose(copies, X[:5], None, 500, judged=[X[5:8], X[8:10]])
    Z = copies[batch.rows] / np.linalg.norm(copies[batch.rows], axis=1, keepdims=True)
    labelled = X[:10] / np.linalg.norm(X[:10], axis=1, keepdims=True)
    assert 50 < len(batch.rows) <= 80
    assert (Z @ Z.T - np.eye(len(Z))).max() < choosing.MAX_COSINE and (Z @ labelled.T).max() < choosing.MAX_COSINE


def test_where_the_most_unsure_rows_are_copies_others_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "MIN_CANDIDATES", 10)
    monkeypatch.setattr(choosing, "CANDIDATES_PER_ROW", 1)
    X, _ = clusters([50, 50], spread=0.3)
    X[:40] = X[0]
    margin = np.where(np.arange(100) < 40, 0.0, 0.5)
    batch = choosing.choose(X, NONE, margin, 5)
    assert len(batch.rows) == 5 and sum(batch.rows < 40) == 1


def test_the_greedy_choice_is_the_one_of_the_definition() -> None:
    """Against a choice that computes what every row adds anew at every step."""
    X, _ = clusters([60, 40, 20], spread=0.4)
    rng = np.random.default_rng(1)
    margins = rng.uniform(size=len(X))
    batch = choosing.choose(X, X[:3] + 0.2, margins, 15)
    Z = X / np.linalg.norm(X, axis=1, keepdims=True)
    train = X[:3] + 0.2
    train /= np.linalg.norm(train, axis=1, keepdims=True)
    cosines = Z @ Z.T
    width = np.median(1 - np.sort(cosines, axis=1)[:, -11])
    kernel, covered = np.exp((2 * cosines - 2) / width), np.exp((2 * (Z @ train.T).max(axis=1) - 2) / width)
    chosen: list[int] = []
    for _ in range(15):
        gains = np.maximum(kernel - covered, 0) @ (1 - margins)
        gains[(Z @ train.T).max(axis=1) >= choosing.MAX_COSINE] = -1
        gains[(cosines[:, chosen] >= choosing.MAX_COSINE).any(axis=1)] = -1
        chosen.append(int(gains.argmax()))
        covered = np.maximum(covered, kernel[chosen[-1]])
    assert batch.rows.tolist() == chosen


def test_sparse_vectors_and_those_of_any_length() -> None:
    X, _ = clusters([60, 40, 20], spread=0.4)
    dense = choosing.choose(X, X[:3], None, 10)
    scaled = choosing.choose(X * np.linspace(0.1, 9, len(X))[:, None].astype(np.float32), X[:3] * 7, None, 10)
    thin = choosing.choose(sparse.csr_matrix(X), sparse.csr_matrix(X[:3]), None, 10)
    assert dense.rows.tolist() == scaled.rows.tolist() == thin.rows.tolist()


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_few_rows(rows: int) -> None:
    batch = choosing.choose(np.eye(8, dtype=np.float32)[:rows], NONE, None, 50)
    assert sorted(batch.rows.tolist()) == list(range(rows)) and batch.stands_for.tolist() == [0] * rows


def test_rows_without_a_direction() -> None:
    X = np.zeros((20, 8), dtype=np.float32)
    assert len(choosing.choose(X, X[:2], None, 5).rows) == 5
