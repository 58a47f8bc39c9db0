"""Labels of every task as tables hold them."""

import math
from decimal import Decimal
from typing import Any

import pytest

from stages.sources.label_values import LabelForm
from stages.sources.values import ValueProblemError

LISTS = LabelForm("multilabel")
NUMBERS = LabelForm("regression")
TEXT_NUMBERS = LabelForm("regression", is_text=True)
STARS = LabelForm("ordinal")
SIZES = LabelForm("ordinal", order=("small", "medium", "large"))
COLUMNS = ("billing", "bug")


def divided(separator: str) -> LabelForm:
    return LabelForm("multilabel", separator)


def refused(form: LabelForm, value: Any) -> str:
    with pytest.raises(ValueProblemError) as error:
        form.from_value(value)
    return str(error.value)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (["bug", " billing ", "bug"], '["billing", "bug"]'),
        ([], "[]"),
        ([1, 2.0, True], '["1", "2", "True"]'),
        (None, None),
        (math.nan, None),
        ("", None),
        ("  ", None),
        ('["b", "a"]', '["a", "b"]'),
        (" [] ", "[]"),
        ("['a', \"it's\", 'b\\n']", '["a", "b", "it\'s"]'),
    ],
)
def test_lists_of_labels(value: Any, label: str | None) -> None:
    assert LISTS.from_value(value) == label


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("billing", "is 'billing', not a list of labels"),
        (5, "is 5, not a list of labels"),
        (["a", ["b"]], "has an entry that is a list, not one value"),
        ([{"a": 1}], "has an entry that is a mapping"),
        (["a", None], "has an empty entry in its list"),
        (["a", math.nan], "has an empty entry in its list"),
        (["a", " "], "has an empty entry in its list"),
        (["a\0"], "has an entry that holds a NUL character"),
        (["\ud800"], "half a surrogate pair"),
        ([math.inf], "is infinite"),
        ({"a": True}, "is a mapping, not one value"),
        ("['a' 'b']", "not a list of labels"),
        ("[a, b]", "not a list of labels"),
        ("[" * 100_000 + "]" * 100_000, "not a list of labels"),
        ("['" + "-" * 1000, "not a list of labels"),
        ("[-" + "-" * 100_000 + "1]", "not a list of labels"),
    ],
)
def test_what_is_no_list_of_labels(value: Any, words: str) -> None:
    assert words in (problem := refused(LISTS, value)) and len(problem) < 200


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("bug; billing", '["billing", "bug"]'),
        ("bug", '["bug"]'),
        (";bug;;bug ;", '["bug"]'),
        (" ; ;", "[]"),
        ("", None),
        (None, None),
        (["a;b"], '["a;b"]'),
        ('["a;b", "c"]', '["a;b", "c"]'),
        ("[a;b]", '["[a", "b]"]'),
        (7, '["7"]'),
    ],
)
def test_names_that_a_separator_divides(value: Any, label: str | None) -> None:
    assert divided(";").from_value(value) == label


def test_a_separator_may_have_several_characters() -> None:
    assert divided("::").from_value("a::b:c") == '["a", "b:c"]'
    assert divided(" ").from_value("b  a") == '["a", "b"]'


@pytest.mark.parametrize(
    ("billing", "bug", "label"),
    [
        ("yes", "no", '["billing"]'),
        (True, True, '["billing", "bug"]'),
        (0, 1, '["bug"]'),
        (1.0, 0.0, '["billing"]'),
        ("1.0", "0.0", '["billing"]'),
        ("TRUE", "False", '["billing"]'),
        (" Y ", "n", '["billing"]'),
        (b"t", "f", '["billing"]'),
        ("no", False, "[]"),
        (None, "", None),
        (math.nan, " ", None),
    ],
)
def test_columns_of_yes_and_no(billing: Any, bug: Any, label: str | None) -> None:
    assert LISTS.read({"text": "x", "billing": billing, "bug": bug}, COLUMNS) == label


@pytest.mark.parametrize(
    ("billing", "bug", "words"),
    [
        ("yes", "maybe", "bug is 'maybe', which is neither yes nor no; write true or false, yes or no, or 1 or 0"),
        (2, 0, "billing is 2, which is neither yes nor no"),
        (0.5, 0, "billing is 0.5, which is neither yes nor no"),
        ("yes", "", "bug is empty, but other labels of the row are not"),
        ("no", ["a"], "bug is a list, not one value"),
        ("no", math.inf, "bug is infinite"),
    ],
)
def test_a_third_value_beside_yes_and_no(billing: Any, bug: Any, words: str) -> None:
    with pytest.raises(ValueProblemError) as error:
        LISTS.read({"billing": billing, "bug": bug}, COLUMNS)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("value", "label"),
    [(3, "3.0"), (0.1, "0.1"), (Decimal("2.50"), "2.5"), (-0.0, "0.0"), (None, None), (math.nan, None), ("", None)],
)
def test_numbers(value: Any, label: str | None) -> None:
    assert NUMBERS.from_value(value) == label


@pytest.mark.parametrize(
    ("value", "label"),
    [("3", "3.0"), (" -1.50 ", "-1.5"), ("1e3", "1000.0"), (".5", "0.5"), ("+2.", "2.0"), ("NaN", None), (" ", None)],
)
def test_numbers_in_files_of_text(value: Any, label: str | None) -> None:
    assert TEXT_NUMBERS.from_value(value) == label


@pytest.mark.parametrize(
    ("form", "value", "words"),
    [
        (NUMBERS, "3", "is the text '3', not a number; store it as one"),
        (NUMBERS, True, "is True, not a number"),
        (NUMBERS, [1], "is [1], not a number"),
        (NUMBERS, math.inf, "is infinite"),
        (NUMBERS, 10**400, "is infinite"),
        (NUMBERS, Decimal("Infinity"), "is infinite"),
        (TEXT_NUMBERS, "-inf", "is infinite"),
        (TEXT_NUMBERS, "1e999", "is infinite"),
        (TEXT_NUMBERS, "1,5", "is '1,5', not a number; write a decimal point, and nothing between thousands"),
        (TEXT_NUMBERS, "1,000.5", "not a number; write a decimal point, and nothing between thousands"),
        (TEXT_NUMBERS, "1.000,5", "not a number; write a decimal point, and nothing between thousands"),
        (TEXT_NUMBERS, "12 kg", "is '12 kg', not a number"),
        (TEXT_NUMBERS, "1_000", "not a number"),
        (TEXT_NUMBERS, "0x10", "not a number"),
        (TEXT_NUMBERS, "\u0663", "not a number"),
        (TEXT_NUMBERS, "four", "is 'four', not a number"),
        (TEXT_NUMBERS, "N/A", "is 'N/A', not a number"),
        (TEXT_NUMBERS, "x" * 10_000, "not a number"),
    ],
)
def test_what_is_no_number(form: LabelForm, value: Any, words: str) -> None:
    assert words in (problem := refused(form, value)) and len(problem) < 200


@pytest.mark.parametrize("value", [4, 4.0, "4", "4.0", " 04 ", Decimal("4.00")])
def test_an_ordinal_number_is_one_class_however_it_is_written(value: Any) -> None:
    assert STARS.from_value(value) == "4"
    assert LabelForm("ordinal", order=("1", "4")).from_value(value) == "4"


def test_ordinal_classes() -> None:
    assert SIZES.from_value(" medium ") == "medium" and SIZES.from_value(None) is None
    assert "is 'huge', which prepare.order lacks; it has small, medium, large" in refused(SIZES, "huge")
    assert "is 'Small', which prepare.order lacks" in refused(SIZES, "Small")
    assert "is 'good', not a number; list the classes from low to high as prepare.order" in refused(STARS, "good")
    assert "is 'nan', not a number" in refused(STARS, "nan")
    assert "is a list" in refused(STARS, [1])
