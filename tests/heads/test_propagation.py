"""Learning from unlabelled rows: guesses help where classes are clusters, and are left out where they do not."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import sparse

from stages.common.params import TrainHeadParams
from stages.heads import choosing, folds, propagation, training
from stages.heads.folds import Fold
from stages.tables.features import Features
from tests.evaluation.feature_tables import table

CLASSES = 32
SETTINGS = TrainHeadParams(C=(1.0, 10.0))


def arcs(per_class: int, seed: int) -> Features:
    """Rows on a closed curve. Every class is an arc, with gaps between them: neighbours tell more than few labels."""
    generator = np.random.default_rng(seed)
    y = np.repeat(np.arange(CLASSES), per_class)
    angle = 2 * np.pi * (y + 0.8 * generator.random(len(y))) / CLASSES
    waves = np.outer(angle, np.arange(1, 9))
    return table(np.column_stack([np.cos(waves), np.sin(waves)]), [f"c{k:02}" for k in y])


def right(head: Any, rows: Features) -> float:
    return float((np.array(head.labels)[head.probabilities(rows.X).argmax(axis=1)] == rows.labels).mean())


@pytest.mark.parametrize("kind", ["logistic", "linear_svm", "ridge"])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_guesses_of_neighbours_make_a_better_head(kind: str, is_sparse: bool) -> None:
    train, unlabelled, new = arcs(2, 0), arcs(60, 1), arcs(100, 2)
    if is_sparse:
        train, unlabelled, new = (replace(rows, X=sparse.csr_matrix(rows.X)) for rows in (train, unlabelled, new))
    settings = SETTINGS.model_copy(update={"kind": kind})
    plain = choosing.fit(train.X, train.labels, settings)
    (head, chosen), trial = propagation.fit(train, unlabelled, plain, settings)
    assert trial is not None and trial.is_used and trial.rows == 1_920
    assert right(plain[0], new) < 0.98
    assert right(head, new) > 0.99
    assert trial.log_loss < trial.log_loss_without
    assert trial.accuracy == chosen.accuracies[chosen.candidates.index(chosen.value)] > trial.accuracy_without
    assert chosen.folds == 2 and head.labels == plain[0].labels
    assert (head.temperature != 1) == (kind != "logistic")
    again = propagation.fit(train, unlabelled, plain, settings)[0][0]
    np.testing.assert_array_equal(again.estimator.coef_, head.estimator.coef_)


def test_guesses_that_do_not_help_are_left_out() -> None:
    def clusters(rows: int, seed: int) -> Features:
        generator = np.random.default_rng(seed)
        y = np.arange(rows) % 2
        X = np.column_stack([np.eye(5)[generator.integers(0, 5, rows)], 0.2 * y - 0.1])  # the clusters are no classes
        return table(X + 0.08 * generator.normal(size=X.shape), [f"c{k}" for k in y])

    train, unlabelled = clusters(120, 0), clusters(600, 1)
    plain = choosing.fit(train.X, train.labels, SETTINGS)
    kept, trial = propagation.fit(train, unlabelled, plain, SETTINGS)
    assert kept is plain and trial is not None and not trial.is_used
    assert trial.accuracy <= trial.accuracy_without


@pytest.mark.parametrize(("labelled", "unlabelled"), [(3, 0), (1, 60)])
def test_without_rows_to_learn_from_or_to_judge_on_the_head_is_the_plain_one(labelled: int, unlabelled: int) -> None:
    train = arcs(labelled, 0)
    plain = choosing.fit(train.X, train.labels, SETTINGS)
    assert propagation.fit(train, arcs(unlabelled, 1), plain, SETTINGS) == (plain, None)


@pytest.mark.filterwarnings("ignore:max_iter")
def test_hidden_labels_say_nothing_of_their_own_rows() -> None:
    train, unlabelled = arcs(4, 0), arcs(30, 1)
    y = np.repeat(np.arange(CLASSES), 4)
    part: Fold = folds.split(y, 4)[0]
    other = y.copy()
    other[part.held_out] = np.roll(y[part.held_out], 1)

    def scores(labels: np.ndarray) -> np.ndarray:
        return propagation.Learner(train.X, labels, unlabelled.X, 1.0, SETTINGS).out_of_fold([part])[:, part.held_out]

    np.testing.assert_array_equal(scores(y), scores(other))
    assert (y[part.held_out] != other[part.held_out]).any()


def test_of_very_many_rows_those_of_the_lowest_hashes_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(propagation, "MAX_ROWS", 20)
    ids = np.array([f"{row:032x}" for row in range(50)], dtype=object)
    rows = propagation.most(ids)
    assert len(rows) == 20 and (np.diff(rows) > 0).all()
    backwards = propagation.most(ids[::-1])
    assert {*ids[rows]} == {*ids[::-1][backwards]}, "whatever their order"
    assert propagation.most(ids[:20]).tolist() == list(range(20))


@pytest.mark.parametrize("kind", ["knn", "mlp"])
def test_kinds_that_take_no_weights_are_refused(kind: str) -> None:
    with pytest.raises(ValidationError, match=f"unlabelled is propagate, which {kind} cannot do; use logistic"):
        TrainHeadParams(kind=kind, unlabelled="propagate")  # type: ignore[arg-type]


def test_final_all_learns_from_unlabelled_rows_too() -> None:
    rows, unlabelled = arcs(2, 0), arcs(60, 1)
    is_train = np.arange(len(rows.ids)) % 2 == 0
    settings = SETTINGS.model_copy(update={"final": "all"})
    fitted = training.fit(rows.select(is_train), rows.select(~is_train), settings, unlabelled)
    assert fitted.trial is not None and fitted.trial.is_used and fitted.factor == 1 != fitted.head.temperature
