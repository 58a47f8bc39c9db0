"""Heads for rows with several labels: one classifier a label, chosen out of fold."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC

from stages.common.errors import HeadstartError
from stages.common.params import TrainHeadParams
from stages.heads import choosing, estimators, one_vs_rest, persistence
from stages.heads.model_card import Decisions
from stages.heads.one_vs_rest_head import log_odds
from stages.scores import calibration
from tests.heads.tables import settings

KINDS = get_args(TrainHeadParams.model_fields["kind"].annotation)
LABELS = ("billing", "bug", "praise")


def rows(count: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Make rows whose labels are three directions of their vectors, with some noise: X and Y."""
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(count, 10)).astype(np.float32)
    Y = X[:, :3] + generator.normal(size=(count, 3)) / 2 > (0.0, 0.4, 0.9)
    return X, Y


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_scikit_learns_one_vs_rest(kind: str) -> None:
    X, Y = rows()
    head, _ = one_vs_rest.fit(X, Y, LABELS, settings(kind, C=(1.0,), neighbors=(5,)))
    sklearn: dict[str, Any] = {
        "logistic": LogisticRegression(C=1.0, max_iter=1_000),
        "linear_svm": LinearSVC(C=1.0, max_iter=10_000, random_state=0),
        "ridge": RidgeClassifier(alpha=0.5),
        "knn": KNeighborsClassifier(5, algorithm="brute"),
        "mlp": MLPClassifier((100,), alpha=1.0, solver="lbfgs", max_iter=500, random_state=0),
    }
    wanted = OneVsRestClassifier(sklearn[kind]).fit(X, Y.astype(int))
    odds = log_odds(head.estimator, X)
    if kind == "knn":
        votes = wanted.predict_proba(X) * 5
        np.testing.assert_allclose(odds, np.log((votes + 1) / (6 - votes)), atol=1e-6)
    elif kind == "mlp":
        np.testing.assert_allclose(expit(odds), wanted.predict_proba(X), atol=1e-6)
    else:
        np.testing.assert_allclose(odds, wanted.decision_function(X), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_is_chosen_calibrated_and_better_than_chance(kind: str) -> None:
    X, Y = rows(240)
    head, chosen = one_vs_rest.fit(X, Y, LABELS, settings(kind))
    assert chosen.folds == 3 and len(chosen.log_losses) == 2 and len(chosen.by_label) == 3
    assert all(0 < threshold < 1 for threshold in head.thresholds)
    new, truth = rows(400, seed=1)
    P = head.probabilities(new)
    assert ((np.array(head.thresholds) <= P) == truth).mean() > 0.65
    assert np.abs(P.mean(axis=0) - truth.mean(axis=0)).max() < 0.15


def test_a_label_has_its_own_value_only_where_that_is_better_beyond_chance() -> None:
    generator = np.random.default_rng(0)
    X = generator.normal(size=(600, 40)).astype(np.float32)
    clear, noise = X[:, 0] > 0, generator.random((600, 3)) < 0.5
    Y = np.column_stack([clear, noise])
    _, chosen = one_vs_rest.fit(X, Y, "abcd", settings("logistic", C=(1e-4, 100.0)))
    assert chosen.by_label == (100.0, 1e-4, 1e-4, 1e-4)
    _, alike = one_vs_rest.fit(X, noise, "abc", settings("logistic", C=(1e-5, 1e-4)))
    assert len(set(alike.by_label)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_labels_that_all_rows_have_or_one_row_has_are_fitted(kind: str) -> None:
    X, Y = rows(60)
    rare = np.arange(60) == 7
    head, _ = one_vs_rest.fit(
        X, np.column_stack([Y, np.ones(60, bool), rare]), (*LABELS, "all", "rare"), settings(kind)
    )
    P = head.probabilities(X)
    assert np.isfinite(P).all() and (P[:, 3] >= head.thresholds[3]).all() and P[7, 4] == P[:, 4].max()
    assert head.thresholds[4] == 0.5


def test_a_fixed_threshold_is_kept() -> None:
    X, Y = rows()
    head, chosen = one_vs_rest.fit(X, Y, LABELS, settings("logistic", C=(1.0,), threshold=0.5))
    assert head.thresholds == (0.5, 0.5, 0.5) and chosen.folds == 0


def test_calibration_changes_no_decision() -> None:
    X, Y = rows(240)
    head, _ = one_vs_rest.fit(X, Y, LABELS, settings("logistic"))
    cooler = head.calibrated(np.array([0.3, 1.0, 4.0]))
    before, after = (np.array(one.thresholds) <= one.probabilities(X) for one in (head, cooler))
    assert (before == after).all() and cooler.temperatures == (0.3, 1.0, 4.0)


def test_rows_of_a_group_stay_in_one_fold() -> None:
    generator = np.random.default_rng(1)
    copies = np.repeat(np.arange(60), 4)
    X, noise = generator.normal(size=(60, 10)).astype(np.float32)[copies], (generator.random((60, 3)) < 0.5)[copies]
    groups = np.array([f"group {number}" for number in copies], dtype=object)
    _, mixed = one_vs_rest.fit(X, noise, LABELS, settings("knn", neighbors=(1,)))
    _, apart = one_vs_rest.fit(X, noise, LABELS, settings("knn", neighbors=(1,)), groups)
    assert mixed.accuracies[0] > 0.9 and apart.accuracies[0] < 0.7


@pytest.mark.parametrize("kind", ["logistic", "ridge"])
def test_the_linear_layer_computes_the_scores(kind: str) -> None:
    X, Y = rows()
    head, _ = one_vs_rest.fit(X, Y, LABELS, settings(kind))
    layer = head.layer()
    assert layer is not None
    np.testing.assert_allclose(X @ layer[0].T + layer[1], head.scores(X), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_of_many_rows_is_that_of_scikit_learn(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    X, Y = rows(300)
    small, _ = one_vs_rest.fit(X, Y, LABELS, settings(kind, C=(1.0,)))
    monkeypatch.setattr(estimators, "MAX_SKLEARN_ROWS", 100)
    large, _ = one_vs_rest.fit(X, Y, LABELS, settings(kind, C=(1.0,)))
    np.testing.assert_allclose(large.probabilities(X), small.probabilities(X), atol=2e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_a_head_is_saved_and_loaded(tmp_path: Path, kind: str, form: Any) -> None:
    X, Y = rows(60)
    Y = np.column_stack([Y, np.ones(60, bool)])  # the last label has a single value
    labels = (*LABELS, "all")
    head, _ = one_vs_rest.fit(form(X), Y, labels, settings(kind))
    decisions = Decisions(
        temperatures=head.temperatures, validation_temperatures=(1.0,) * 4, thresholds=head.thresholds
    )
    persistence.save(head, tmp_path / "head.skops")
    loaded = persistence.load(tmp_path / "head.skops", labels, 1.0, decisions)
    np.testing.assert_array_equal(loaded.probabilities(form(X)), head.probabilities(form(X)))
    with pytest.raises(HeadstartError, match="different tasks"):
        persistence.load(tmp_path / "head.skops", labels, 1.0)
    with pytest.raises(HeadstartError, match="is a head of 4 labels"):
        persistence.load(tmp_path / "head.skops", LABELS, 1.0, decisions)


def rows_with_a_set(count: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `rows`, and which of three colours every row has: X, Y and (rows,) names."""
    X, Y = rows(count, seed)
    return X, Y, np.array(["blue", "green", "red"])[X[:, 5:8].argmax(axis=1)]


@pytest.mark.parametrize("kind", ["logistic", "linear_svm", "ridge", "mlp"])
@pytest.mark.parametrize("final", ["train", "all"])
def test_labels_that_exclude_each_other_are_learned_as_classes(kind: str, final: str) -> None:
    X, Y, colours = rows_with_a_set()
    others = ("billing", "bug", "praise")
    every = sorted([*others, "blue", "green", "red"])
    T = np.column_stack([Y[:, others.index(name)] if name in others else colours == name for name in every])
    head, chosen = one_vs_rest.fit(X, T, every, settings(kind, final=final))
    assert head.exclusive == (("blue", "green", "red"),) and len(chosen.of_sets) == 1
    P = head.probabilities(X)
    as_classes, chosen_classes = choosing.fit(X, colours, settings(kind, final=final))
    indices = [every.index(name) for name in as_classes.labels]
    np.testing.assert_allclose(P[:, indices], as_classes.probabilities(X), atol=1e-12)
    alone, chosen_alone = one_vs_rest.fit(X, Y, others, settings(kind, final=final))
    np.testing.assert_array_equal(P[:, [every.index(name) for name in others]], alone.probabilities(X))
    assert chosen.of_sets == (chosen_classes,) and chosen.log_losses == chosen_alone.log_losses
    assert (head.task.decisions(head.outputs(X))[:, indices].argmax(axis=1) == P[:, indices].argmax(axis=1)).all()


def test_every_row_gets_one_label_of_a_set_even_if_all_are_as_likely() -> None:
    X, _, colours = rows_with_a_set()
    head, _ = one_vs_rest.fit(X, np.stack([colours == "red", colours != "red"], 1), ("red", "other"), settings("ridge"))
    outputs = head.task.outputs(np.array([[0.0, 0.0], [900.0, 901.0], [-900.0, -900.0]]))
    assert head.task.decisions(outputs).sum(axis=1).tolist() == [1, 1, 1]
    layer = head.layer()
    assert layer is not None
    np.testing.assert_allclose(X @ layer[0].T + layer[1], head.scores(X), atol=1e-5)


def test_a_threshold_that_is_set_holds_for_labels_that_exclude_each_other() -> None:
    X, _, colours = rows_with_a_set()
    Y = np.stack([colours == name for name in ("blue", "green", "red")], axis=1)
    head, _ = one_vs_rest.fit(X, Y, ("blue", "green", "red"), settings("ridge", threshold=0.5))
    assert head.exclusive == () and head.thresholds == (0.5,) * 3


def test_a_temperature_of_a_set_is_that_of_classes_and_keeps_decisions() -> None:
    X, _, colours = rows_with_a_set()
    Y = np.stack([colours == name for name in ("blue", "green", "red")], axis=1)
    head, _ = one_vs_rest.fit(X, Y, ("blue", "green", "red"), settings("logistic"))
    new, _, truth = rows_with_a_set(80, seed=1)
    T = np.stack([truth == name for name in ("blue", "green", "red")], axis=1)
    temperatures, task = head.task.calibration(head.scores(new), T, "same_labels")
    assert temperatures.tolist() == [calibration.fit_temperature(head.scores(new), T.argmax(axis=1))] * 3
    before, after = head.outputs(new), task.outputs(head.scores(new) / temperatures)
    np.testing.assert_array_equal(head.task.decisions(before), task.decisions(after))
    np.testing.assert_allclose(task.uncalibrated(after, temperatures)[..., 0], before[..., 0], atol=1e-9)


def test_a_head_with_a_set_is_saved_and_loaded(tmp_path: Path) -> None:
    X, Y, colours = rows_with_a_set()
    labels = ("a", "blue", "green", "red")
    T = np.stack([Y[:, 0], *(colours == name for name in labels[1:])], axis=1)
    head, _ = one_vs_rest.fit(X, T, labels, settings("ridge"))
    persistence.save(head, tmp_path / "head.skops")
    parts = {"temperatures": head.temperatures, "validation_temperatures": (1.0,) * 4, "thresholds": head.thresholds}
    loaded = persistence.load(tmp_path / "head.skops", labels, 1.0, Decisions(**parts, exclusive=head.exclusive))
    np.testing.assert_array_equal(loaded.probabilities(X), head.probabilities(X))
    for wrong in ((), (("blue", "green"),), (("a", "blue"), ("green", "red"))):
        with pytest.raises(HeadstartError, match="is a head of"):
            persistence.load(tmp_path / "head.skops", labels, 1.0, Decisions(**parts, exclusive=wrong))


def test_out_of_fold_decisions_are_right_where_all_labels_are() -> None:
    X, Y, colours = rows_with_a_set(240)
    right, chosen = one_vs_rest.cross_validated(X, Y)
    assert 0.4 < right.mean() < 0.9 and chosen.folds == 5
    odds = one_vs_rest.out_of_fold(X, Y, chosen.value)
    assert right.mean() == pytest.approx(((odds > 0) == Y).all(axis=1).mean(), abs=0.05)
    T = np.stack([colours == name for name in ("blue", "green", "red")], axis=1)
    assert one_vs_rest.cross_validated(X, T)[0].mean() > 0.8
    with pytest.raises(HeadstartError, match="cannot be divided into folds"):
        one_vs_rest.cross_validated(X[:2], Y[:2], np.array(["one", "one"]))


@pytest.mark.parametrize("damage", ["index", "value", "list"])
def test_damaged_neighbours_are_refused(tmp_path: Path, damage: str) -> None:
    X, Y = rows(60)
    head, _ = one_vs_rest.fit(X, Y, LABELS, settings("knn"))
    if damage == "index":
        head.estimator._y[3, 1] = 2
    elif damage == "value":
        head.estimator.classes_[1] = np.array([0, 7])
    else:
        head.estimator.classes_ = head.estimator.classes_[:2]
    persistence.save(head, tmp_path / "head.skops")
    with pytest.raises(HeadstartError, match="cannot be read"):
        persistence.load(tmp_path / "head.skops", LABELS, 1.0)


def test_vectors_in_float16_are_judged_as_in_float32_by_heads_of_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    X, Y = rows(400)
    X = X.astype(np.float16)
    odds = one_vs_rest.out_of_fold(X, Y, 1.0)
    np.testing.assert_array_equal(odds, one_vs_rest.out_of_fold(X.astype(np.float32), Y, 1.0))
    monkeypatch.setattr(choosing, "MAX_OUT_OF_FOLD_ROWS", 100)
    sampled = one_vs_rest.out_of_fold(X, Y, 1.0)
    assert sampled.shape == odds.shape and not np.allclose(sampled, odds)
    assert ((sampled > 0) == Y).mean() > 0.75
