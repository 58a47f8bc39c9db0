import numpy as np
import pytest

from stages.common.params import BudgetParams
from stages.evaluation import labels_saved, learning_curve
from stages.evaluation.learning_curve import Curve, Point
from stages.tables import hashes, prepared
from stages.tables.label_info import LabelInfo


def rows(classes: dict[str, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ids, labels, and features in which each class is a cluster."""
    labels = np.array([name for name, count in classes.items() for _ in range(count)], dtype=object)
    y = np.unique(labels.astype(str), return_inverse=True)[1]
    X = 2 * np.eye(len(classes))[y] + np.random.default_rng(1).normal(size=(len(labels), len(classes)))
    return np.array([f"{row:x}" for row in range(len(labels))], dtype=object), labels, X.astype(np.float32)


def test_draws_have_as_many_labels_as_they_say_and_end_with_all() -> None:
    ids, labels, _ = rows({"a": 30, "b": 30, "c": 6})
    points = learning_curve.draws(ids, labels, (5, 2, 10, 30), repeats=3, seed=0)
    assert [point.per_class for point in points] == [2, 5, 10, 22], "30 is all rows, which come last"
    for point in points[:2]:
        assert len(point.rows) == 3
        for draw in point.rows:
            assert np.unique(labels[draw], return_counts=True)[1].tolist() == [point.per_class] * 3
        assert len({tuple(draw) for draw in point.rows}) == 3, "each draw is another"
    assert np.unique(labels[points[2].rows[0]], return_counts=True)[1].tolist() == [10, 10, 6]
    assert points[3].rows[0].tolist() == list(range(66))
    again = learning_curve.draws(ids, labels, (5, 2, 10, 30), repeats=3, seed=0)
    assert [[*map(list, point.rows)] for point in again] == [[*map(list, point.rows)] for point in points]
    other = learning_curve.draws(ids, labels, (5,), repeats=1, seed=9)
    assert not np.array_equal(other[0].rows[0], points[1].rows[0])


def test_draws_are_those_of_budgets_and_hash_all_rows_once_for_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    ids, labels, _ = rows({"a": 300, "b": 300, "c": 60})
    hashed: list[str] = []
    uniforms = hashes.uniforms
    monkeypatch.setattr(hashes, "uniforms", lambda start, ends: (hashed.extend(ends), uniforms(start, ends))[1])
    points = learning_curve.draws(ids, labels, (2, 4, 8, 16), repeats=2, seed=3)
    assert 2 * 660 <= len(hashed) < 2 * 660 + 200
    for point in points[:-1]:
        for repeat, draw in enumerate(point.rows):
            budget = BudgetParams(per_class=int(point.per_class), seed=3 + repeat)
            assert draw.tolist() == np.flatnonzero(prepared.within_budget(ids, labels, budget)).tolist()


def test_the_last_point_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    ids, labels, _ = rows({"a": 30, "b": 30, "c": 6})
    monkeypatch.setattr(learning_curve, "MAX_CURVE_ROWS", 30)
    points = learning_curve.draws(ids, labels, (5, 20), repeats=2, seed=0)
    assert [len(point.rows[0]) for point in points] == [15, 26]


def test_accuracies_are_those_of_logistic_heads_on_the_draws() -> None:
    ids, labels, X = rows({"a": 60, "b": 60, "c": 60})
    train, test = np.arange(180) % 3 > 0, np.arange(180) % 3 == 0
    points = learning_curve.draws(ids[train], labels[train], (1, 2, 20), repeats=4, seed=0)
    X_train = X[train]
    curve = learning_curve.measure(
        points, lambda draw: (X_train[draw], X[test]), labels[train], labels[test], LabelInfo()
    )
    assert [len(point.values) for point in curve.points] == [4, 4, 4, 1]
    assert curve.P.shape == (60, 3) and curve.C in (0.1, 1, 10, 100)
    right = np.array(["a", "b", "c"])[curve.P.argmax(axis=1)] == labels[test]
    assert curve.points[-1].value == right.mean()
    assert curve.points[0].value < curve.points[2].value and curve.points[-1].value > 0.8


def curve(*points: tuple[float, float]) -> Curve:
    return Curve(tuple(Point(labels, (accuracy,)) for labels, accuracy in points), 1.0, np.empty((0, 2)))


def test_labels_needed_are_read_off_between_the_points() -> None:
    baseline = curve((2, 0.3), (8, 0.5), (32, 0.4), (128, 0.9))
    assert labels_saved.labels_needed(baseline, 0.4) == pytest.approx(4), "halfway between 2 and 8 on a log scale"
    assert labels_saved.labels_needed(baseline, 0.2) == 2
    assert labels_saved.labels_needed(baseline, 0.9) == pytest.approx(128)
    assert labels_saved.labels_needed(baseline, 0.91) is None
    backbone = curve((2, 0.5), (8, 0.95))
    saved = labels_saved.from_curves({"backbone": backbone, "baseline": baseline})
    assert saved == {"accuracy": 0.5, "backbone": 2, "baseline": pytest.approx(8)}
    saved = labels_saved.from_curves({"backbone": backbone, "baseline": curve((2, 0.1), (128, 0.4))})
    assert saved["baseline"] == "more than 128"
    assert "baseline" not in labels_saved.from_curves({"backbone": backbone})


@pytest.mark.parametrize(
    ("baseline", "words"),
    [("more than 62", "as the baseline with more than 62"), (9.0, "as the baseline with 9"), (3.0, None), (2.0, None)],
)
def test_labels_saved_are_mentioned_where_the_baseline_needs_far_more(baseline: object, words: str | None) -> None:
    sentence = labels_saved.sentence({"accuracy": 0.527, "backbone": 2, "baseline": baseline})
    assert sentence == (
        f"with 2 labels per class, the pretrained model is as accurate (0.527) {words}" if words else ""
    )
    assert labels_saved.sentence({"accuracy": 0.527, "backbone": 2}) == ""
