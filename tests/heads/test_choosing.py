"""Heads are fitted and chosen by cross-validation."""

from typing import Any, get_args

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from stages.common.params import TrainHeadParams
from stages.heads import choosing, estimators, lbfgs
from tests.heads.tables import data, settings


def test_cross_validation_finds_the_value_with_the_lowest_log_loss() -> None:
    X, labels = data(3)
    _, chosen = choosing.fit(X, labels, settings("logistic", C=(1e-6, 0.1, 1e6)))
    assert chosen.value == 0.1
    noise = np.random.default_rng(1).normal(size=X.shape).astype(np.float32)
    assert choosing.fit(noise, labels, settings("logistic", C=(1e-6, 1e6)))[1].value == 1e-6


def test_a_single_value_needs_no_cross_validation() -> None:
    X, labels = data(3, rows=3)
    head, chosen = choosing.fit(X, labels, settings("logistic", C=(1.0,)))
    assert chosen.folds == 0 and head.temperature == 1
    wanted = LogisticRegression(C=1.0, max_iter=1000).fit(X, labels.astype(str)).predict_proba(X)
    np.testing.assert_allclose(head.probabilities(X), wanted, atol=1e-5)


@pytest.mark.parametrize("kind", get_args(TrainHeadParams.model_fields["kind"].annotation))
def test_classes_of_one_row_are_fitted_but_choose_nothing(kind: str) -> None:
    X, labels = data(3, rows=30)
    head, chosen = choosing.fit(X, labels, settings(kind))
    X_more = np.vstack([X, 9 * np.eye(10, dtype=np.float32)[[4, 5]]])
    with_rare, chosen_with_rare = choosing.fit(X_more, np.append(labels, ["rare", "a first"]), settings(kind))
    assert chosen_with_rare == chosen and chosen.folds == 3 and len(chosen.log_losses) == 2
    assert with_rare.temperature == head.temperature
    assert set(with_rare.labels) == {*head.labels, "rare", "a first"}
    if kind != "knn":
        P = with_rare.probabilities(X_more[30:])
        assert [with_rare.labels[index] for index in P.argmax(axis=1)] == ["rare", "a first"]


@pytest.mark.parametrize("kind", get_args(TrainHeadParams.model_fields["kind"].annotation))
@pytest.mark.parametrize("rows", [2, 4])
def test_nothing_is_chosen_where_fewer_than_two_classes_can_be_divided(kind: str, rows: int) -> None:
    X, _ = data(2, rows=rows)
    labels = np.array(["a", "b", "a", "a"][:rows], dtype=object)
    head, chosen = choosing.fit(X, labels, settings(kind, C=(0.1, 10.0), neighbors=(1, 10)))
    assert (chosen.folds, chosen.log_losses, head.temperature) == (0, (), 1.0)
    assert chosen.value == (1 if kind == "knn" else choosing.DEFAULT_C)
    assert head.probabilities(X).shape == (rows, 2)


def test_folds_shrink_to_the_smallest_class() -> None:
    X, labels = data(3, rows=6)
    assert choosing.fit(X, labels, settings("logistic", folds=5))[1].folds == 2


def test_balanced_weights_help_the_rare_class() -> None:
    X, labels = data(2)
    keep = np.r_[np.flatnonzero(labels == "class 0"), np.flatnonzero(labels == "class 1")[:6]]
    rare = [
        choosing.fit(X[keep], labels[keep], settings("logistic", class_weight=weight))[0].probabilities(X)[:, 1].mean()
        for weight in (None, "balanced")
    ]
    assert rare[1] > rare[0] + 0.1


def test_cross_validation_fits_on_a_bounded_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    X, labels = data(3, rows=300)
    order = np.argsort(labels, kind="stable")  # sorted by class: the first rows are no sample of all
    X, labels = X[order], labels[order]
    labels[:2] = "rare"
    whole = choosing.out_of_fold(X, labels, 1.0)
    sizes: list[int] = []
    fit = estimators.fit
    monkeypatch.setattr(estimators, "fit", lambda X, *rest, **named: (sizes.append(len(X)), fit(X, *rest, **named))[1])
    monkeypatch.setattr(choosing, "MAX_OUT_OF_FOLD_ROWS", 60)
    sampled = choosing.out_of_fold(X, labels, 1.0)
    assert len(sizes) == 2 and all(60 <= size <= 64 for size in sizes), "of two folds, each has rows enough outside"
    assert sampled.shape == whole.shape == (300, 4) and not np.array_equal(sampled, whole)
    truth = np.unique(labels.astype(str), return_inverse=True)[1]
    right = [(P.argmax(axis=1) == truth).mean() for P in (sampled, whole)]
    assert right[1] > right[0] > 0.55, "of the first 60 rows alone, whose class is one, it would be a third"


def test_cross_validated_is_what_fit_sees() -> None:
    X, labels = data(3)
    _, chosen = choosing.fit(X, labels, TrainHeadParams())
    right, same = choosing.cross_validated(X, labels)
    assert same == chosen
    assert right.mean() == pytest.approx(chosen.accuracies[chosen.candidates.index(chosen.value)])


@pytest.mark.parametrize("wrap", [np.asarray, sparse.csr_matrix])
def test_many_rows_are_fitted_by_another_solver_which_chooses_alike(
    wrap: type[sparse.csr_matrix], monkeypatch: pytest.MonkeyPatch
) -> None:
    X, labels = data(3, rows=300)
    X = wrap(X * np.geomspace(1, 0.01, 10, dtype=np.float32) + 1)
    wanted = settings("logistic", C=(100.0, 0.0001, 1.0))
    head, chosen = choosing.fit(X, labels, wanted)
    monkeypatch.setattr(estimators, "MAX_SKLEARN_ROWS", 100)
    values: list[float] = []
    starts: list[bool] = []
    on_blocks = estimators.fit_on_blocks

    def counted(*args: Any, **named: Any) -> Any:
        values.append(args[2])
        starts.append(bool(named["start"].any()))
        return on_blocks(*args, **named)

    monkeypatch.setattr(estimators, "fit_on_blocks", counted)
    _, same = choosing.fit(X, labels, wanted)
    assert values[:3] == [0.0001, 1.0, 100.0] and 0.0001 not in values[3:], "clearly worse on the first fold"
    assert starts[:3] == [False, True, True]
    assert same.value == chosen.value and same.candidates == chosen.candidates
    assert np.argsort(same.log_losses).tolist() == np.argsort(chosen.log_losses).tolist()
    np.testing.assert_allclose(same.log_losses, chosen.log_losses, atol=0.05)
    np.testing.assert_allclose(same.accuracies, chosen.accuracies, atol=0.05)
    values.clear()
    other, _ = choosing.fit(X, labels, settings("logistic", C=(chosen.value,)))
    np.testing.assert_allclose(other.probabilities(X), head.probabilities(X), atol=5e-3)


def test_candidates_that_are_much_alike_stay_to_the_last_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    X, labels = data(3, rows=300)
    wanted = settings("logistic", C=(0.1, 0.11, 0.1))
    _, chosen = choosing.fit(X, labels, wanted)
    monkeypatch.setattr(estimators, "MAX_SKLEARN_ROWS", 100)
    _, same = choosing.fit(X, labels, wanted)
    np.testing.assert_allclose(same.log_losses, chosen.log_losses, atol=1e-4)
    assert same.accuracies == pytest.approx(chosen.accuracies, abs=0.01)


def test_sparse_features_are_fitted_less_precisely_to_compare_values_than_for_the_head(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(estimators, "MAX_SKLEARN_ROWS", 100)
    X, labels = data(3, rows=300)
    tolerances: list[float] = []
    minimise = lbfgs.fit

    def noted(*args: Any, tolerance: float, **named: Any) -> Any:
        tolerances.append(tolerance)
        return minimise(*args, tolerance=tolerance, **named)

    monkeypatch.setattr(lbfgs, "fit", noted)
    choosing.fit(sparse.csr_matrix(X), labels, settings("logistic"))
    assert {*tolerances[:-1]} == {lbfgs.SPARSE_TRIAL_TOLERANCE} and tolerances[-1] == lbfgs.TOLERANCE
    tolerances.clear()
    choosing.out_of_fold(sparse.csr_matrix(X), labels, 1.0)
    choosing.cross_validated(sparse.csr_matrix(X), labels)
    choosing.fit(sparse.csr_matrix(X), labels, settings("logistic", final="all"))
    choosing.fit(X, labels, settings("logistic"))
    assert {*tolerances} == {lbfgs.TOLERANCE}, "scores that are used, and dense features"


def test_few_rows_and_other_kinds_stay_with_scikit_learn() -> None:
    assert not estimators.is_for_lbfgs(5_000, settings("logistic"))
    assert estimators.is_for_lbfgs(5_001, settings("logistic"))
    assert not estimators.is_for_lbfgs(5_001, settings("ridge"))


def test_scores_of_held_out_rows_are_computed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    X, labels = data(3)
    whole = choosing.out_of_fold(X, labels, 1.0)
    monkeypatch.setattr(choosing, "MAX_SCORED_ROWS", 7)
    np.testing.assert_allclose(choosing.out_of_fold(X, labels, 1.0), whole, atol=1e-6)


def test_rows_in_half_precision_are_fitted_and_scored_in_single() -> None:
    X, labels = data(3)
    halved = X.astype(np.float16)
    expected = choosing.out_of_fold(halved.astype(np.float32), labels, 1.0)
    np.testing.assert_array_equal(choosing.out_of_fold(halved, labels, 1.0), expected)
