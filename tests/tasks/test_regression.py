"""Numbers: what scores mean, and what is predicted."""

import numpy as np
import pytest

from stages import tasks
from stages.tasks.regression import Regression


def test_scores_are_standardised_numbers() -> None:
    T = np.array([2.0, 4.0, 9.0])
    task = Regression.from_numbers(T)
    scores = task.standardised(T)
    assert scores.shape == (3, 1) and scores.mean() == pytest.approx(0) and scores.std() == pytest.approx(1)
    np.testing.assert_allclose(task.decisions(task.outputs(scores)), T)
    assert tasks.load("regression", (), numbers=(task.mean, task.scale)) == task
    assert task.unknown(2).tolist() == [[5.0], [5.0]]


def test_equal_numbers_have_a_scale_of_one() -> None:
    assert Regression.from_numbers(np.full(7, 0.1)).scale == 1


def test_numbers_are_read_and_written_as_the_tables_have_them() -> None:
    task, texts = Regression(), ["-0.5", "1e+300", "12.0"]
    assert task.written(task.targets(texts)).tolist() == texts
    outputs = np.array([[1.5], [2.0]])
    assert task.predicted(outputs).to_pylist() == [1.5, 2.0] and task.texts(outputs).tolist() == ["1.5", "2.0"]
    with pytest.raises(ValueError):
        task.targets(["much"])


def test_the_primary_metric_is_the_mean_over_rows_and_chance_is_the_best_guess_of_one_number() -> None:
    T, outputs = np.array([1.0, 2.0, 9.0]), np.array([[1.0], [3.0], [5.0]])
    task = Regression()
    assert task.row_values(T, outputs).mean() == pytest.approx(task.headline(T, outputs)[task.primary])
    guesses = [task.headline(T, np.full((3, 1), guess))[task.primary] for guess in np.linspace(0, 10, 101)]
    assert task.chance(T) == pytest.approx(min(guesses))
    assert task.second in task.headline(T, outputs)


def test_metrics_have_intervals_and_paired_ones() -> None:
    generator = np.random.default_rng(0)
    T = generator.normal(size=80)
    near, far = (T[:, None] + width * generator.normal(size=(80, 1)) for width in (0.1, 1.0))
    task = Regression()
    values, ends = task.headline(T, near), task.intervals(T, near, resamples=100, seed=0)
    assert list(values) == list(ends) == ["mean_absolute_error", "root_mean_squared_error", "r2", "spearman"]
    assert all(low < values[name] < high for name, (low, high) in ends.items())
    better = task.difference(T, near, far, resamples=100, seed=0)
    assert better[task.primary][1] < 0 < better["r2"][0]
