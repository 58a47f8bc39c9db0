"""Types of settings: numbers in their ranges, names of columns and encodings."""

import math
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

TaskName = Literal["single", "multilabel", "ordinal", "regression"]

MAX_RATE = 0.1  # with a larger learning rate, AdamW destroys the pretrained weights


def as_tuple(value: object) -> object:
    """Turn a list, as files have it, into a tuple."""
    return tuple(value) if isinstance(value, list) else value


def _number(value: object) -> object:
    """Turn a string into a number where it is one: what follows YAML 1.1, as PyYAML does, writes `1e-3` as a string."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _length(value: object) -> object:
    """Refuse all but `auto` and a number of tokens, in one sentence."""
    if value != "auto" and (type(value) is not int or value < 2):
        raise ValueError(f"it is {value!r}, but must be auto or a whole number of tokens, at least 2")
    return value


def _row_limit(value: object) -> object:
    """Refuse all but true, false and a number of rows, in one sentence."""
    if type(value) is not bool and (type(value) is not int or value < 1):
        raise ValueError(f"it is {value!r}, but must be true, false or a whole number of rows, at least 1")
    return value


def _auto_or(allowed: str, is_allowed: Callable[[float], bool]) -> Callable[[object], object]:
    """Make a check that refuses all but `auto` and an allowed number, in one sentence."""

    def check(value: object) -> object:
        number = _number(value)
        is_wrong = isinstance(number, bool) or not isinstance(number, int | float) or not is_allowed(number)
        if number != "auto" and is_wrong:
            raise ValueError(f"it is {number!r}, but must be auto or a number {allowed}")
        return number

    return check


def _column_names(value: object) -> object:
    """Check the name of a column, or a list of names, which becomes a tuple; a list of one is that name."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError("must be the name of a column, or a list of names")
    if len(set(names)) < len(names):
        raise ValueError(f"names a column twice ({', '.join(names)}); name it once")
    return names[0] if len(names) == 1 else tuple(names)


def _class_order(value: object) -> object:
    """Check a list of classes, which becomes a tuple of texts; numbers are written as prepare reads them in a table."""
    if not isinstance(value, list | tuple) or len(value) < 2:
        raise ValueError("must be a list of at least two classes, from low to high")
    if wrong := [entry for entry in value if type(entry) not in (str, int, float) or not str(entry).strip()]:
        raise ValueError(f"holds {wrong[0]!r}, but must list classes from low to high; write quotes around a word")
    names = tuple(_class_name(entry) for entry in value)
    if len(set(names)) < len(names):
        raise ValueError(f"names a class twice ({', '.join(names)}); name it once")
    return names


def _class_name(value: str | float) -> str:
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if is_whole else str(value).strip()


def _encoding(value: object) -> object:
    try:
        if isinstance(value, str):
            "".encode(value)
    except (LookupError, ValueError):
        raise ValueError(f"{value} is not the name of a text encoding; use one such as utf-8 or cp1252") from None
    return value


Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
Rate = Annotated[Number, Field(gt=0, le=MAX_RATE)]
RateOrAuto = Annotated[
    float | Literal["auto"],
    BeforeValidator(_auto_or(f"above 0, at most {MAX_RATE}", lambda rate: 0 < rate <= MAX_RATE)),
]
DecayOrAuto = Annotated[
    float | Literal["auto"], BeforeValidator(_auto_or("above 0, at most 1", lambda decay: 0 < decay <= 1))
]
WeightOrAuto = Annotated[
    float | Literal["auto"], BeforeValidator(_auto_or("of 0 or more", lambda weight: 0 <= weight < math.inf))
]
Fraction = Annotated[Number, Field(ge=0, lt=1)]
Share = Annotated[float | Literal["auto"], BeforeValidator(_auto_or("from 0 to below 1", lambda share: 0 <= share < 1))]
Threshold = Annotated[
    float | Literal["auto"],
    BeforeValidator(_auto_or("above 0 and below 1", lambda threshold: 0 < threshold < 1)),
]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(min_length=1)]
ColumnNames = Annotated[str | tuple[str, ...], BeforeValidator(_column_names)]
ClassOrder = Annotated[tuple[str, ...], BeforeValidator(_class_order)]
Encoding = Annotated[str, BeforeValidator(_encoding)]
RowLimit = Annotated[bool | int, BeforeValidator(_row_limit)]
Length = Annotated[int | Literal["auto"], BeforeValidator(_length)]
