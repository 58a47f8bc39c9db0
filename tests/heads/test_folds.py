"""Labelled rows are divided into folds of like classes that keep groups together."""

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

from stages.common.params import TrainHeadParams
from stages.heads import choosing, folds
from tests.heads.tables import data, settings


def labelled(seed: int, rows: int = 60, classes: int = 3, groups: int = 15) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.integers(classes, size=rows), generator.integers(groups, size=rows).astype(str).astype(object)


def test_without_groups_they_are_those_of_scikit_learn() -> None:
    y, _ = labelled(0)
    wanted = StratifiedKFold(5, shuffle=True, random_state=7).split(np.empty(len(y)), y)
    for fold, (training, held_out) in zip(folds.split(y, 5, seed=7), wanted, strict=True):
        assert fold.training.tolist() == training.tolist() and fold.held_out.tolist() == held_out.tolist()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("is_grouped", [False, True])
def test_every_row_is_judged_once_and_no_group_is_on_both_sides(seed: int, is_grouped: bool) -> None:
    y, names = labelled(seed)
    groups = names if is_grouped else None
    parts = folds.split(y, 5, groups=groups, seed=seed)
    assert len(parts) == 5
    assert np.sort(np.concatenate([fold.held_out for fold in parts])).tolist() == list(range(len(y)))
    for fold in parts:
        assert not {*fold.training} & {*fold.held_out}
        assert not is_grouped or not {*names[fold.training]} & {*names[fold.held_out]}
    again = folds.split(y, 5, groups=groups, seed=seed)
    assert [fold.held_out.tolist() for fold in again] == [fold.held_out.tolist() for fold in parts]


def test_a_row_is_judged_only_where_its_class_is_trained_on() -> None:
    y = np.array([0] * 6 + [1] * 6 + [2])
    judged = np.concatenate([fold.held_out for fold in folds.split(y, 3)])
    assert sorted(judged.tolist()) == list(range(12))
    groups = np.array(["g"] * 4 + [f"row {row}" for row in range(4, 13)], dtype=object)
    labels = np.array([0, 0, 3, 3, 0, 0, 1, 1, 1, 1, 0, 1, 1])  # class 3 is in one group only
    parts = folds.split(labels, 3, groups=groups)
    assert not {2, 3} & {*np.concatenate([fold.held_out for fold in parts])}
    for fold in parts:  # its other rows may be judged where it is held out, so its rows must not train there
        assert not ({0, 1} & {*fold.held_out}) or not ({2, 3} & {*fold.training})


def test_folds_shrink_to_the_rows_or_groups_of_the_largest_class() -> None:
    y = np.array([0, 0, 0, 1, 1])
    assert len(folds.split(y, 5)) == 3
    assert folds.split(np.array([0, 1]), 5) == [] and folds.split(np.array([], dtype=int), 5) == []
    groups = np.array(["a", "a", "b", "a", "b"], dtype=object)
    assert folds.units(y, groups).tolist() == [2, 2] and len(folds.split(y, 5, groups=groups)) == 2
    assert folds.split(y, 5, groups=np.array(["a"] * 5, dtype=object)) == []


def test_the_choice_of_c_keeps_groups_together() -> None:
    """Copies of a row in other folds vouch for a head that learns rows by heart; in its group they do not."""
    X = np.random.default_rng(0).normal(size=(40, 100)).astype(np.float32)
    labels = np.repeat(["a", "b"], 20).astype(object)
    X, labels, groups = np.repeat(X, 4, axis=0), np.repeat(labels, 4), np.repeat(np.arange(40).astype(str), 4)
    candidates = settings("logistic", C=(1e-6, 1e6))
    assert choosing.fit(X, labels, candidates)[1].value == 1e6
    assert choosing.fit(X, labels, candidates, groups)[1].value == 1e-6
    assert choosing.cross_validated(X, labels)[0].mean() > choosing.cross_validated(X, labels, groups)[0].mean()


@pytest.mark.parametrize("kind", ["logistic", "ridge", "knn"])
def test_heads_of_classes_that_are_in_one_group_only(kind: str) -> None:
    X, labels = data(3, rows=30)
    groups = np.where(labels == "class 2", "one", np.arange(30).astype(str)).astype(object)
    head, chosen = choosing.fit(X, labels, settings(kind), groups)
    assert len(head.labels) == 3 and chosen.folds == 3 and np.isfinite(chosen.log_losses).all()
    together = np.array(["g"] * 30, dtype=object)
    assert choosing.fit(X, labels, TrainHeadParams(), together)[1].folds == 0


def test_no_more_folds_than_leave_enough_rows_outside() -> None:
    assert [folds.fewest(rows, 20_000) for rows in (40_000, 1_000_000, 39_999, 30_000, 25_000)] == [2, 2, 3, 3, 5]
    assert folds.fewest(20_000, 20_000) == 20_000, "one row in each: heads learn more from every fold more"
    for rows in range(2, 300):
        count = folds.fewest(rows, 100)
        assert count >= 2 and (rows <= 100 or rows - -(-rows // count) >= 100)
        assert rows <= 101 or count == 2 or rows - -(-rows // (count - 1)) < 100
