"""Labelled rows are judged by heads that did not see them."""

from dataclasses import replace

import numpy as np
import pytest

from stages.common.errors import HeadstartError
from stages.common.params import EvaluateParams, TrainHeadParams
from stages.evaluation import cross_validation
from stages.evaluation.cross_validation import Division, divide
from stages.heads import training
from stages.tables import features
from stages.tables.features import Features
from tests.evaluation.feature_tables import table

SETTINGS = EvaluateParams(cross_validation=3)
LABELS = ("a", "b", "c")


def labelled(
    rows: int = 60, validation: int = 0, *, groups: int | None = None, names: list[str] | None = None
) -> Features:
    """Rows of three classes that a head tells apart mostly; the last `validation` rows are of that split."""
    generator = np.random.default_rng(0)
    y = np.arange(rows) % 3
    X = generator.normal(size=(rows, 8)) + 1.5 * np.eye(8)[y]
    whole = table(X, names or [LABELS[k] for k in y])
    if groups:
        whole = replace(whole, groups=np.array([f"group {row // 3 % groups}" for row in range(rows)], dtype=object))
    parts = {
        "train": whole.select(np.arange(rows - validation)),
        "validation": whole.select(np.arange(rows)[rows - validation :]),
    }
    return features.joined(parts)


def probabilities(rows: Features, division: Division, kind: str = "logistic", final: str = "all") -> np.ndarray:
    settings = TrainHeadParams(kind=kind, final=final, C=(0.1, 10.0), neighbors=(1, 5))  # type: ignore[arg-type]
    return cross_validation.head_probabilities(rows, division, LABELS, settings)


@pytest.mark.parametrize("groups", [None, 10])
def test_every_repeat_judges_every_row_once_by_heads_of_other_groups(groups: int | None) -> None:
    rows = labelled(groups=groups)
    division = divide(rows, SETTINGS, "all")
    assert len(division.repeats) == cross_validation.REPEATS and division.judged.tolist() == list(range(60))
    held_out = [[fold.held_out.tolist() for fold in folds] for folds in division.repeats]
    assert held_out[0] != held_out[1], "repeats differ"
    for folds in division.repeats:
        assert np.sort(np.concatenate([fold.held_out for fold in folds])).tolist() == list(range(60))
        for fold in folds:
            assert not {*fold.training} & {*fold.held_out}
            assert rows.groups is None or not {*rows.groups[fold.training]} & {*rows.groups[fold.held_out]}
    assert [[fold.held_out.tolist() for fold in folds] for folds in divide(rows, SETTINGS, "all").repeats] == held_out
    assert np.bincount(division.fold_numbers())[1:].sum() == 60 and division.fold_numbers().min() == 1


@pytest.mark.parametrize("final", ["all", "train"])
@pytest.mark.parametrize("kind", ["logistic", "ridge", "knn", pytest.param("mlp", marks=pytest.mark.slow)])
def test_the_label_of_a_row_does_not_change_its_own_prediction(kind: str, final: str) -> None:
    rows = labelled(validation=24)
    division = divide(rows, SETTINGS, final)
    division = replace(division, repeats=division.repeats[:1])
    before = probabilities(rows, division, kind, final)[0]
    assert (before.argmax(axis=1) == [LABELS.index(label) for label in rows.labels]).mean() > 0.6
    for fold, places in division.positions():
        other = rows.labels.copy()
        other[fold.held_out] = np.roll(other[fold.held_out], 1)
        after = probabilities(replace(rows, labels=other), division, kind, final)[0]
        np.testing.assert_array_equal(after[places], before[places])
        assert np.abs(after - before).max() > 0, "it does change those of others"


def test_chance_is_called_chance() -> None:
    """No label leaks: labels without any relation to the vectors are predicted no better than by guessing."""
    names = np.random.default_rng(3).permutation([LABELS[row % 3] for row in range(60)]).tolist()
    rows = labelled(names=names)
    P = probabilities(rows, divide(rows, SETTINGS, "all"))
    assert (np.array(LABELS)[P.argmax(axis=2)] == rows.labels).mean() < 0.45


def test_without_final_all_heads_are_fitted_on_training_rows_alone() -> None:
    rows = labelled(validation=24)
    division = divide(rows, SETTINGS, "train")
    division = replace(division, repeats=division.repeats[:1])
    before = probabilities(rows, division, final="train")[0]
    changed = rows.X.copy()
    changed[36:] += 5  # vectors of validation rows, which may move confidence and nothing else
    after = probabilities(replace(rows, X=changed), division, final="train")[0]
    assert (after.argmax(axis=1) == before.argmax(axis=1))[:36].all()


def test_classes_of_one_row_are_not_judged() -> None:
    names = [*(LABELS[row % 2] for row in range(59)), "c"]
    rows = labelled(names=names)
    division = divide(rows, SETTINGS, "all")
    assert division.judged.tolist() == list(range(59))
    assert probabilities(rows, division).shape == (5, 59, 3)


@pytest.mark.parametrize(
    ("names", "groups"),
    [(["a", "b"], None), (["a", "b", "b", "b"], None), (["a"] * 4 + ["b"] * 4, 1), (["a", "a", "a"], None)],
)
def test_too_few_rows_are_refused_in_a_sentence(names: list[str], groups: int | None) -> None:
    with pytest.raises(HeadstartError, match="no test rows, and too few labelled rows for a cross-validation"):
        divide(labelled(len(names), names=names, groups=groups), SETTINGS, "all")


def test_two_rows_of_two_classes_are_enough() -> None:
    rows = labelled(4, names=["a", "b", "a", "b"])
    division = divide(rows, SETTINGS, "all")
    assert division.count == 2 and len(probabilities(rows, division)[0]) == 4


def test_many_rows_are_divided_once() -> None:
    assert len(divide(labelled(3000), SETTINGS, "all").repeats) == 1
    assert len(divide(labelled(1500), SETTINGS, "all").repeats) == 3


@pytest.mark.parametrize(("limit", "groups"), [(60, None), (5_000, 3)])
def test_of_a_single_division_every_row_has_the_prediction_of_its_own_fold(
    limit: int, groups: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_validation, "MAX_REPEATED_ROWS", limit)
    rows = labelled(groups=groups)
    division = divide(rows, SETTINGS, "all")
    assert len(division.repeats) == 1 and division.judged.tolist() == list(range(60))
    P = probabilities(rows, division)[0]
    settings = TrainHeadParams(final="all", C=(0.1, 10.0))
    for fold in division.repeats[0]:
        known = rows.select(fold.training)
        head = training.fit(known, known.select(np.empty(0, dtype=int)), settings).head
        np.testing.assert_allclose(P[fold.held_out], head.probabilities(rows.X[fold.held_out]), atol=1e-6)


def test_groups_that_can_be_divided_in_one_way_are_divided_once() -> None:
    assert len(divide(labelled(groups=3), SETTINGS, "all").repeats) == 1
    assert divide(labelled(groups=3), SETTINGS, "all").spread == pytest.approx(1 + 2 / 3)
    assert len(divide(labelled(4, names=["a", "b", "a", "b"]), SETTINGS, "all").repeats) == 2, "of two rows a class"


def test_near_duplicates_and_neighbours_are_of_other_folds() -> None:
    rows = labelled(groups=10)
    X = rows.X.copy()
    X[[1, 30]] = X[[0, 0]]  # row 1 is of the group of row 0, and row 30 of the group of neither
    rows = replace(rows, X=X, groups=np.array([f"group {row // 3}" for row in range(60)], dtype=object))
    division = divide(rows, SETTINGS, "all")
    pairs = cross_validation.near_duplicates(rows, division, 0.9999)
    found = {(row.test, row.train) for row in pairs.itertuples()}
    numbers = division.fold_numbers()
    assert (0, 1) not in found and (1, 0) not in found
    assert all(numbers[test] != numbers[train] for test, train in found)
    assert (30 in {test for test, _ in found}) == (numbers[30] != numbers[0])
    nearest, cosines = cross_validation.nearest(rows, division, np.array([5, 0, 40]), 4)
    assert nearest.shape == cosines.shape == (3, 4) and (np.diff(cosines) <= 0).all()
    for row, others in zip((5, 0, 40), nearest, strict=True):
        assert (numbers[others] != numbers[row]).all()


def test_every_fold_learns_from_the_same_unlabelled_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, unlabelled = labelled(), table(np.ones((5, 8)), ["?"] * 5)
    seen: list[Features | None] = []
    fit = training.fit

    def watched(train: Features, validation: Features, settings: TrainHeadParams, more: Features | None) -> object:
        seen.append(more)
        return fit(train, validation, settings)

    monkeypatch.setattr(training, "fit", watched)
    division = divide(rows, SETTINGS, "all")
    cross_validation.head_probabilities(rows, division, LABELS, TrainHeadParams(C=(1.0,)), unlabelled)
    assert len(seen) == 3 * len(division.repeats) and all(more is unlabelled for more in seen)
