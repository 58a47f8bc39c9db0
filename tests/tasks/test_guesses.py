"""How sure a model is of rows, and what it says of them to a person who labels them."""

import numpy as np

from stages.tasks.multilabel import Multilabel
from stages.tasks.single import Single


def test_the_margin_of_one_class_is_that_to_the_second() -> None:
    P = np.array([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0], [0.4, 0.2, 0.4]])
    np.testing.assert_allclose(Single(("a", "b", "c")).margins(P), [0.2, 1.0, 0.0])


def test_the_margin_of_several_labels_is_how_sure_all_are() -> None:
    task = Multilabel(("a", "b"), (0.5, 0.2))
    margins = task.margins(task.from_probabilities(np.array([[0.5, 0.5], [1.0, 0.0], [0.5, 1.0], [0.11, 0.89]])))
    np.testing.assert_allclose(margins, [0, 1, 0.5, 0.5], atol=1e-3)


def test_a_second_class_is_named_unless_the_first_is_sure() -> None:
    P = np.array([[0.1, 0.3, 0.6], [0.45, 0.1, 0.45], [0.9, 0.1, 0.0]])
    assert Single(("a", "b", "c")).guesses(P) == ["c (0.60) or b (0.30)", "a (0.45) or c (0.45)", "a (0.90)"]


def test_labels_that_may_apply_are_named_beside_those_that_are_given() -> None:
    task = Multilabel(("a", "b", "c"), (0.5, 0.6, 0.1))
    P = np.array([[0.9, 0.55, 0.2], [0.3, 0.4, 0.05], [0.1, 0.1, 0.05]])
    assert task.guesses(task.from_probabilities(P)) == [
        "a (0.90), c (0.20), maybe b (0.55)",
        "no label, maybe b (0.40), a (0.30)",
        "no label",
    ]
