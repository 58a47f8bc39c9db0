"""Sets of labels of which every row has exactly one."""

import numpy as np

from stages.scores import exclusive

GENERATOR = np.random.default_rng(0)
COLOUR, SIZE = (np.eye(count, dtype=bool)[GENERATOR.integers(count, size=200)] for count in (3, 2))
FREE = GENERATOR.random((200, 2)) < 0.3


def test_sets_are_found_among_other_labels() -> None:
    Y = np.column_stack([COLOUR[:, 0], FREE[:, 0], SIZE, COLOUR[:, 1:], FREE[:, 1]])
    assert sorted(exclusive.find(Y)) == [(0, 4, 5), (2, 3)]


def test_a_row_without_a_label_of_the_set_or_with_two_of_them_is_an_exception() -> None:
    for label in (COLOUR[0].argmin(), COLOUR[0].argmax()):
        Y = COLOUR.copy()
        Y[0, label] ^= True
        assert exclusive.find(np.column_stack([Y, SIZE])) == ((3, 4),)


def test_a_label_of_no_row_or_of_all_is_in_no_set() -> None:
    none, everywhere = np.zeros((200, 1), bool), np.ones((200, 1), bool)
    assert exclusive.find(np.column_stack([none, everywhere, SIZE])) == ((2, 3),)


def test_few_rows_say_nothing() -> None:
    assert exclusive.find(SIZE[:49]) == () and exclusive.find(SIZE[:50]) == ((0, 1),)
