"""Labels with an order: what scores mean, what is decided, and how that is calibrated."""

import numpy as np
import pytest
from scipy.special import expit, softmax

from stages import tasks
from stages.scores import metrics
from stages.tables.label_info import LabelInfo
from stages.tasks.ordinal import Ordinal
from stages.tasks.single import Single

TASK = Ordinal(("low", "middle", "high"))


def sample(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scores, (rows, 2), and labels that are drawn by their probabilities."""
    generator = np.random.default_rng(0)
    scores = generator.normal(0, 3, (rows, 1)) + np.array([1.0, -1.0])
    return scores, (generator.random((rows, 1)) < expit(scores)).sum(axis=1)


def test_scores_are_log_odds_of_the_labels_above() -> None:
    P = TASK.outputs(np.log([[9.0, 1 / 4]]))
    np.testing.assert_allclose(P, [[0.1, 0.7, 0.2]])
    assert TASK.above(np.array([0, 1, 2])).tolist() == [[False, False], [True, False], [True, True]]


def test_scores_out_of_order_give_no_negative_probability() -> None:
    P = TASK.outputs(np.array([[-1.0, 2.0]]))
    np.testing.assert_allclose(P, [[1 - expit(-1), 0, expit(-1)]])


def test_the_median_is_predicted_and_confidence_is_its_probability() -> None:
    P = np.array([[0.4, 0.35, 0.25], [0.1, 0.1, 0.8]])
    assert TASK.texts(P).tolist() == ["middle", "high"] and Single(TASK.labels).texts(P).tolist() == ["low", "high"]
    assert TASK.confidence(P).tolist() == [0.35, 0.8]
    T = np.array([1, 1])
    assert TASK.is_right(T, P).tolist() == [True, False]
    assert TASK.cells(T, P) == [(1, 1, 1), (1, 2, 1)] and TASK.pairs(T, P) == [(1, 1), (1, 2)]
    assert [row["recall"] for row in TASK.per_label(T, P)] == [0, 0.5, 0]


def test_the_temperature_is_that_by_which_scores_were_multiplied() -> None:
    scores, T = sample(20_000)
    temperature, task = TASK.calibration(3 * scores, T, "own")
    assert temperature == pytest.approx(3, rel=0.05) and task == TASK
    P = TASK.outputs(3 * scores / temperature)
    assert (TASK.decisions(P) == TASK.decisions(TASK.outputs(3 * scores))).all()
    assert TASK.calibration_error(T, P) < 0.02 < TASK.calibration_error(T, TASK.uncalibrated(P, temperature))
    np.testing.assert_allclose(TASK.uncalibrated(P, temperature), TASK.outputs(3 * scores), atol=1e-9)


def test_few_rows_calibrate_nothing() -> None:
    scores, T = sample(19)
    assert TASK.calibration(scores, T, "own") == (1, TASK)


def test_headline_has_the_log_loss_of_the_probabilities() -> None:
    scores, T = sample(200)
    P = TASK.outputs(scores)
    values = TASK.headline(T, P)
    assert values["log_loss"] == pytest.approx(metrics.losses(T, P).mean())
    assert TASK.primary in values and values.keys() == TASK.intervals(T, P, resamples=100, seed=0).keys()
    better = TASK.difference(T, np.eye(3)[T], P, resamples=100, seed=0)
    assert better["accuracy"][0] > 0 > better["mean_absolute_error"][1]


def test_the_primary_metric_is_the_mean_over_rows_and_chance_is_the_best_guess_of_one_label() -> None:
    scores, T = sample(200)
    P = TASK.outputs(scores)
    assert TASK.row_values(T, P).mean() == pytest.approx(TASK.headline(T, P)[TASK.primary])
    guesses = [TASK.headline(T, np.eye(3)[np.full(200, label)])[TASK.primary] for label in range(3)]
    assert TASK.chance(T) == pytest.approx(min(guesses))
    assert TASK.second in TASK.headline(T, P)


def test_class_scores_have_the_probabilities_as_softmax() -> None:
    scores, _ = sample(20)
    P = TASK.outputs(scores)
    np.testing.assert_allclose(softmax(TASK.class_scores(scores), axis=1), P)


def test_rows_tell_their_labels_in_the_order_of_the_table() -> None:
    info = LabelInfo(task="ordinal", order=("low", "middle", "high"))
    assert tasks.from_rows(info, ["high", "low"]) == Ordinal(("low", "high"))
    assert tasks.from_rows(LabelInfo(), ["b", "a", "b"]) == Single(("a", "b"))
    assert tasks.from_rows(LabelInfo(task="regression"), ["1.5", "2.0"]).labels == ()


def test_outputs_of_a_model_that_lacks_a_label_are_placed_among_all() -> None:
    assert tasks.placed(TASK, np.array([[0.25, 0.75]]), ("low", "high")).tolist() == [[0.25, 0, 0.75]]
    assert tasks.placed(tasks.load("regression", ()), np.array([[2.5]]), ()).tolist() == [[2.5]]


def test_the_order_of_labels_is_kept() -> None:
    assert tasks.load("ordinal", ["low", "middle", "high"]) == TASK
    assert TASK.targets(["high", "low"]).tolist() == [2, 0]
