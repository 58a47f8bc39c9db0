"""Values of tables as people write them: one text or label, whatever type a file stores it in."""

import datetime
import decimal
import math
from typing import Any

HALF_PAIR = "holds half a surrogate pair, which is not valid Unicode"
MAX_WHOLE = 10**15  # above, a float no longer tells one whole number from the next
# How people and programs write that there is no value, in lower case and without the marks around it.
NO_VALUE = {
    "",
    "na",
    "n/a",
    "n.a",
    "nan",
    "nat",
    "null",
    "none",
    "nil",
    "undefined",
    "missing",
    "unlabelled",
    "unlabeled",
    "blank",
    "empty",
    r"\n",
}
MARKS = "<>()[]#?-\u2013\u2014. "
KINDS = {"list": "a list", "dict": "a mapping"}


class ValueProblemError(Exception):
    """Why a value cannot be used, in a few words that follow the column's name."""


def as_text(value: Any) -> str | None:
    """Return one value as a string, or None if it is empty: missing, NaN or only spaces.

    Whole numbers have no decimals: 1.0 is "1", since a column of whole numbers with a missing one is often stored as
    floating-point. Strings stay as they are: the word "nan" is a word.

    Raises:
        ValueProblemError: it is not one value that people can read, such as a list or bytes.
    """
    match value:
        case str():  # first, since nearly all are
            text = value
        case None:
            return None
        case bytes():
            text = _decoded(value)
        case bool() | int():
            return str(value)
        case float() | decimal.Decimal():
            return _number(value)
        case datetime.datetime():
            return _moment(value)
        case datetime.date() | datetime.time():
            return value.isoformat()
        case _:
            raise ValueProblemError(f"is {KINDS.get(type(value).__name__, type(value).__name__)}, not one value")
    if not text.isascii() and not encodes(text):
        raise ValueProblemError(HALF_PAIR)
    return text if text.strip() else None


def as_name(value: Any) -> str | None:
    """Return the value of a label, group or slice as a string; see `as_text`.

    Raises:
        ValueProblemError: it is not one value, or holds a NUL character.
    """
    text = as_text(value)
    if text and "\0" in text:
        raise ValueProblemError("holds a NUL character")
    return text


def looks_missing(label: str) -> bool:
    """Return whether a label may stand for none; it can be the name of a class all the same."""
    return label.strip(MARKS).casefold() in NO_VALUE


def is_missing(value: Any) -> bool:
    """Return whether a value is null or not a number."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def encodes(text: str) -> bool:
    """Return whether UTF-8 can encode the text: JSON can escape lone surrogates, which no file can hold."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _decoded(value: bytes) -> str:
    """Return the text that some tools store as bytes."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ValueProblemError("is bytes, not text")
    return text


def _number(value: float | decimal.Decimal) -> str | None:
    if math.isnan(value):
        return None
    if math.isinf(value):
        raise ValueProblemError("is infinite")
    whole = int(value)
    return str(whole) if value == whole and abs(whole) < MAX_WHOLE else str(value)


def _moment(value: datetime.datetime) -> str:
    """Write a date without the midnight that spreadsheets add to it."""
    plain_date = value.time() == datetime.time() and value.tzinfo is None
    return value.date().isoformat() if plain_date else value.isoformat(sep=" ")
