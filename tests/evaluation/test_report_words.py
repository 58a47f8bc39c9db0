"""Warnings of the report and the learning curve in words, with data that call for them and data that do not."""

from dataclasses import replace

import numpy as np
import pytest

from stages.evaluation.report import words
from stages.evaluation.results import Results
from tests.evaluation.evaluations import FLAT, RISING, evaluation, guesses

TRUTH = np.arange(200) % 4


def results(right: float = 0.9, **changes: object) -> Results:
    return evaluation(TRUTH, {"head": guesses(TRUTH, 4, right)}, **changes)  # type: ignore[arg-type]


def test_a_model_near_chance_is_warned_of() -> None:
    (warning,) = words.warnings(results(0.25, copies=100))
    assert warning.startswith("The head is not clearly better than always guessing the most frequent class")
    assert [*words.warnings(results(0.9))] == []


def test_label_errors_by_a_weak_head_are_warned_of() -> None:
    assert [*words.warnings(results(0.45))] == [
        "The head is wrong more often than right: likely label errors are unreliable."
    ]
    models = {"head": guesses(TRUTH, 4, 0.7), "baseline": guesses(TRUTH, 4, 0.9, 1)}
    assert [*words.warnings(evaluation(TRUTH, models))] == [
        "The baseline is clearly better than the head: likely label errors are unreliable."
    ]
    assert [*words.warnings(results(0.55))] == []


def test_texts_whose_end_was_not_read_are_counted() -> None:
    cut = results()
    cut = replace(cut, metrics={**cut.metrics, "cut_rows": 37})
    assert [*words.warnings(cut)] == [
        "The end of 37 of 200 test texts was not read: they are longer than extract.max_length."
    ]


@pytest.mark.parametrize(("copies", "is_warned_of"), [(9, False), (10, True)])
def test_many_near_duplicates_are_warned_of(copies: int, is_warned_of: bool) -> None:
    warnings = [*words.warnings(results(copies=copies))]
    expected = "10 of 200 test rows nearly equal a training row: without them the accuracy of head is 0.500."
    assert warnings == ([expected] if is_warned_of else [])


def test_the_curve_in_words() -> None:
    assert words.curve(results(curve=RISING)) == "Still rising: twice the labels would add about 0.086 to the accuracy."
    assert words.curve(results(curve=FLAT)).startswith(
        "Flat: twice the labels would change the accuracy by about +0.00"
    )
    level = ((2, 0.8), (10, 0.8001), (50, 0.7999))
    assert words.curve(results(curve=level)) == "Flat: twice the labels would change the accuracy by about +0.000."
    falling = ((2, 0.9), (10, 0.8), (50, 0.7))
    assert words.curve(results(curve=falling)).startswith(
        "Falling: twice the labels would change the accuracy by about -0"
    )
    assert words.curve(results(curve=RISING[:1])) == ""
