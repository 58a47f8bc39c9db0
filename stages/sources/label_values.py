"""Labels of every task as people write them, turned into one text a row; `tables/label_texts.py` says which text."""

import ast
import decimal
import json
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.common.errors import listed
from stages.common.section import SHORT_REPR
from stages.common.setting_types import TaskName
from stages.sources.values import ValueProblemError, as_name, as_text, is_missing
from stages.tables import label_texts

YES = ("true", "yes", "y", "t", "1", "1.0")
NO = ("false", "no", "n", "f", "0", "0.0")
STRING = r"""(?:'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+")"""
STRING_LIST = re.compile(rf"\[{STRING}(?:, {STRING})*+\]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
# With separators of thousands, or a comma for the point.
COMMA_NUMBER = re.compile(r"[+-]?\d[\d.]*(,[\d.]+)+", re.ASCII)


@dataclass(frozen=True, slots=True)
class LabelForm:
    """How values of the label column, or columns, become the text of a label."""

    task: TaskName = "single"
    separator: str | None = None  # of the names in one text; None: they are a list
    order: tuple[str, ...] | None = None  # of ordinal classes; None: they are numbers
    is_text: bool = False  # whether the file has texts only, so that a number is one

    def read(self, record: Mapping[str, Any], columns: Sequence[str]) -> str | None:
        """Return the text of a row's label, or None if the row is unlabelled.

        Raises:
            ValueProblemError: a value is none of this task; with the name of its column.
        """
        if len(columns) > 1:
            return _from_yes_and_no({column: record[column] for column in columns})
        (column,) = columns
        try:
            return self.from_value(record[column])
        except ValueProblemError as error:
            raise ValueProblemError(f"{column} {error}") from None

    def from_value(self, value: Any) -> str | None:
        """Return the text of a label in one value, or None for no label.

        Raises:
            ValueProblemError: the value is none of this task.
        """
        match self.task:
            case "single":
                name = as_name(value)
                return name and name.strip()
            case "multilabel":
                return _from_list(value, self.separator)
            case "regression":
                return _from_number(value, is_text=self.is_text)
            case "ordinal":
                return _from_class(value, self.order)


ONE_CLASS = LabelForm()


def shown(value: object) -> str:
    """Return a value as an error names it: short, where the column holds long texts."""
    return SHORT_REPR.repr(value)


def as_list(value: Any) -> list[Any] | None:
    """Return a list, or that in a text: of JSON, or of Python as pandas writes it into a CSV file; None for others."""
    if not isinstance(value, str):
        return value if isinstance(value, list) else None
    text = value.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = _python_list(text)
    return content if isinstance(content, list) else None


def _python_list(text: str) -> object:
    """Return the strings that Python lists in this text; None for any other, as `['a' 'b']`, which NumPy writes."""
    if not STRING_LIST.fullmatch(text):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that are none
            return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None


def _from_list(value: Any, separator: str | None) -> str | None:
    """Return the text of the labels in a list, or in a text that the separator divides."""
    if is_missing(value):
        return None
    if (entries := as_list(value)) is not None:
        return label_texts.from_names(map(_entry, entries))
    text = as_name(value)
    if text is None:
        return None
    if separator is None:
        raise ValueProblemError(f"is {shown(value)}, not a list of labels")
    return label_texts.from_names(name for part in text.split(separator) if (name := part.strip()))


def _entry(value: Any) -> str:
    """Return the name of a label in a list."""
    try:
        name = as_name(value)
    except ValueProblemError as error:
        raise ValueProblemError(f"has an entry that {error}") from None
    if name is None:
        raise ValueProblemError("has an empty entry in its list")
    return name.strip()


def _from_yes_and_no(values: Mapping[str, Any]) -> str | None:
    """Return the text of the labels whose columns say yes; None if all columns are empty."""
    names, empty = [], []
    for column, value in values.items():
        try:
            text = as_text(value)
        except ValueProblemError as error:
            raise ValueProblemError(f"{column} {error}") from None
        word = (text or "").strip().lower()
        if not word:
            empty.append(column)
        elif word in YES:
            names.append(column)
        elif word not in NO:
            raise ValueProblemError(
                f"{column} is {shown(value)}, which is neither yes nor no; write true or false, yes or no, or 1 or 0"
            )
    if len(empty) == len(values):
        return None
    if empty:
        raise ValueProblemError(f"{empty[0]} is empty, but other labels of the row are not; write yes or no")
    return label_texts.from_names(names)


def _from_number(value: Any, *, is_text: bool) -> str | None:
    """Return the text of a number."""
    if is_missing(value) or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | decimal.Decimal | str):
        raise ValueProblemError(f"is {shown(value)}, not a number")
    if isinstance(value, str) and not is_text:
        raise ValueProblemError(f"is the text {shown(value)}, not a number; store it as one")
    try:
        number = _parsed(value) if isinstance(value, str) else float(value)
    except OverflowError:
        number = math.inf
    if math.isinf(number):
        raise ValueProblemError("is infinite, not a number that can be learned")
    return None if math.isnan(number) else label_texts.from_number(number)


def _parsed(text: str) -> float:
    """Return the number in a text: in figures, with a point and without separators of thousands."""
    text = text.strip()
    if NUMBER.fullmatch(text) or text.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        return float(text)
    hint = "; write a decimal point, and nothing between thousands" if COMMA_NUMBER.fullmatch(text) else ""
    raise ValueProblemError(f"is {shown(text)}, not a number{hint}")


def _from_class(value: Any, order: Sequence[str] | None) -> str | None:
    """Return an ordinal class: one of the order, or a number, which has one text however it is written."""
    name = as_name(value)
    if name is None:
        return None
    name = name.strip()
    if order and name in order:
        return name
    number = as_text(float(name)) if NUMBER.fullmatch(name) and math.isfinite(float(name)) else None
    if order is None and number is not None:
        return number
    if order is None:
        raise ValueProblemError(f"is {shown(name)}, not a number; list the classes from low to high as prepare.order")
    if number is not None and number in order:
        return number
    raise ValueProblemError(f"is {shown(name)}, which prepare.order lacks; it has {listed(order)}")
