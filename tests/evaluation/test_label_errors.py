import numpy as np
import pytest

from stages.evaluation import label_errors
from tests.evaluation.feature_tables import table


def clusters(rows: int) -> tuple[np.ndarray, list[str]]:
    y = np.arange(rows) % 3
    X = np.eye(3)[y] + 0.1 * np.random.default_rng(0).normal(size=(rows, 3))
    return X, ["abc"[k] for k in y]


def test_planted_wrong_labels_are_found_first_and_others_are_not() -> None:
    X, labels = clusters(90)
    labels[4], labels[50] = "c", "a"  # were b and c
    found = label_errors.in_training(table(X, labels), C=10)
    assert {(each.row, "abc"[each.suggested]) for each in found} == {(4, "b"), (50, "c")}
    assert all(each.p_suggested > 0.5 > each.p_given for each in found)
    listed = label_errors.table({"train": found, "test": []}, {"train": table(X, labels)}, ["a", "b", "c"]).to_pylist()
    assert [row["id"] for row in listed] == [str(each.row) for each in found]
    assert {(row["id"], row["label"], row["suggested"]) for row in listed} == {("4", "c", "b"), ("50", "a", "c")}


def test_a_class_of_one_row_is_left_out_and_keeps_the_others_in_place() -> None:
    X, labels = clusters(90)
    labels[4] = "c"
    X, labels = np.vstack([[[9, 9, 9]], X]), ["a-single", *labels]
    found = label_errors.in_training(table(X, labels), C=10)
    assert [(each.row, each.suggested) for each in found] == [(5, 2)], "labels are a, a-single, b, c"


def test_labels_that_no_row_has_break_nothing() -> None:
    P = np.full((40, 4), 0.02)
    y = np.arange(40) % 2 * 2  # labels 1 and 3 have no row
    P[np.arange(40), y] = 0.94
    P[5] = [0.94, 0.02, 0.02, 0.02]
    (found,) = label_errors.find(y, P)
    assert (found.row, found.suggested, found.p_given) == (5, 0, pytest.approx(0.02))


def test_too_little_to_judge() -> None:
    P = np.array([[0.1, 0.9]] * 19)
    assert label_errors.find(np.zeros(19, dtype=int), P) == []
    assert label_errors.find(np.zeros(40, dtype=int), np.array([[0.1, 0.9]] * 40)) == [], "one class only"
    assert label_errors.in_training(table(np.eye(2), ["a", "b"]), C=1) == []
