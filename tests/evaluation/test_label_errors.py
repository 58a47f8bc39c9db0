import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from stages.evaluation import label_errors
from stages.tasks.single import Single
from tests.evaluation.feature_tables import table


def clusters(rows: int) -> tuple[np.ndarray, list[str]]:
    y = np.arange(rows) % 3
    X = np.eye(3)[y] + 0.1 * np.random.default_rng(0).normal(size=(rows, 3))
    return X, ["abc"[k] for k in y]


def test_planted_wrong_labels_are_found_first_and_others_are_not() -> None:
    X, labels = clusters(90)
    labels[4], labels[50] = "c", "a"  # were b and c
    rows = table(X, labels)
    suspects = label_errors.find_in_training(rows, C=10)
    assert {(row.row, "abc"[row.suggested]) for row in suspects.itertuples()} == {(4, "b"), (50, "c")}
    assert (suspects["p_suggested"] > 0.5).all() and (suspects["p_label"] < 0.5).all()
    named = label_errors.table(
        {"train": suspects, "test": suspects[:0]}, {"train": rows, "test": rows}, Single(("a", "b", "c"))
    )
    assert named["split"].tolist() == ["train", "train"]
    assert named["id"].tolist() == [str(row) for row in suspects["row"]]
    assert {(row.id, row.label, row.suggested) for row in named.itertuples()} == {("4", "c", "b"), ("50", "a", "c")}


def test_cleanlab_is_imported_without_datalab() -> None:
    code = "import sys; import numpy as np; from stages.evaluation import label_errors"
    code += "; label_errors.find_classes(np.arange(40) % 2, np.full((40, 2), 0.5))"
    code += "; print([name for name in ('cleanlab', 'cleanlab.datalab', 'datasets', 'torch') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['cleanlab']\n"


def test_classes_with_an_order_are_suggested_by_their_places_in_it() -> None:
    X, labels = clusters(90)
    labels[4], labels[50] = "c", "a"  # were b and c
    rows, order = table(X, labels), ("c", "a", "b")
    rows = replace(rows, metadata=rows.metadata.model_copy(update={"task": "ordinal", "order": order}))
    suspects = label_errors.find_in_training(rows, C=10)
    assert {(row.row, order[row.suggested]) for row in suspects.itertuples()} == {(4, "b"), (50, "c")}


def test_a_class_of_one_row_is_left_out_and_keeps_the_others_in_place() -> None:
    X, labels = clusters(90)
    labels[4] = "c"
    X, labels = np.vstack([[[9, 9, 9]], X]), ["a-single", *labels]
    suspects = label_errors.find_in_training(table(X, labels), C=10)
    assert suspects[["row", "suggested"]].to_numpy().tolist() == [[5, 2]], "labels are a, a-single, b, c"


def test_copies_in_one_group_do_not_vouch_for_each_other() -> None:
    X, labels = clusters(90)
    X[81:], labels[81:] = X[4], ["c"] * 9  # nine copies of a row of b, with the same wrong label
    rows = table(X, labels)
    groups = np.array([f"row {row}" for row in range(81)] + ["copies"] * 9, dtype=object)
    found = {row for row in label_errors.find_in_training(rows, C=1_000)["row"] if row >= 81}
    kept = {row for row in label_errors.find_in_training(replace(rows, groups=groups), C=1_000)["row"] if row >= 81}
    assert not found and kept == set(range(81, 90)), "the folds have copies on both sides, unless groups are kept"


def test_a_class_of_one_group_is_left_out() -> None:
    X, labels = clusters(90)
    labels[81:] = ["d"] * 9
    groups = np.array([f"row {row}" for row in range(81)] + ["d"] * 9, dtype=object)
    assert label_errors.find_in_training(replace(table(X, labels), groups=groups), C=10).empty


def test_labels_that_no_row_has_break_nothing() -> None:
    P = np.full((40, 4), 0.02)
    y = np.arange(40) % 2 * 2  # labels 1 and 3 have no row
    P[np.arange(40), y] = 0.94
    P[5] = [0.94, 0.02, 0.02, 0.02]
    (suspect,) = label_errors.find_classes(y, P).itertuples()
    assert (suspect.row, suspect.suggested, suspect.p_label) == (5, 0, pytest.approx(0.02))


def test_too_little_to_judge() -> None:
    P = np.array([[0.1, 0.9]] * 19)
    assert label_errors.find_classes(np.zeros(19, dtype=int), P).empty
    assert label_errors.find_classes(np.zeros(40, dtype=int), np.array([[0.1, 0.9]] * 40)).empty, "one class only"
    assert label_errors.find_in_training(table(np.eye(2), ["a", "b"]), C=1).empty
