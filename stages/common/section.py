"""Mappings of known keys to typed values, as in params.yaml and model.json, and the sentence for a wrong one."""

import reprlib
from collections.abc import Iterable
from types import UnionType
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from stages.common.errors import HeadstartError, did_you_mean, listed

Model = TypeVar("Model", bound=BaseModel)
SHORT_REPR = reprlib.Repr()
SHORT_REPR.maxlevel, SHORT_REPR.maxstring, SHORT_REPR.maxother = 3, 100, 100
PLAIN_ENGLISH = {  # words of pydantic's messages, for people who do not know Python
    "Input should": "must",
    "Dictionary should": "must",
    "a valid dictionary or instance": "a mapping",
    "a valid dictionary": "a mapping",
}


class Section(BaseModel):
    """A mapping of known keys. Unknown keys and lossy conversions are refused; values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


def validate(model: type[Model], raw: object, *, file: str) -> Model:
    """Check `raw` against `model`, and return it typed.

    Args:
        file: names the origin of `raw` in the error.

    Raises:
        HeadstartError: `raw` holds a key or value that is not allowed.
    """
    if not isinstance(raw, dict):
        raise HeadstartError(
            f"{file} is {_show(raw)}, but must be a mapping with {listed(model.model_fields, limit=50)}"
        )
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise HeadstartError(_sentence(model, raw, error, file)) from None


def _sentence(model: type[BaseModel], raw: Any, error: ValidationError, file: str) -> str:
    """Describe the first problem in one sentence; a misspelt key comes before the key that is then missing."""
    problem = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    if not problem["loc"]:  # of several sections together
        return f"{file}: {problem['ctx']['error']}"
    *parents, last = problem["loc"]
    is_key = last == "[key]"  # of a mapping with limited keys, as gate.metrics
    if is_key:
        *parents, last = parents
    key = ".".join(map(str, [*parents, last]))
    if is_key or problem["type"] in ("extra_forbidden", "invalid_key"):
        known = _known_keys(model, parents)
        prefix = "".join(f"{parent}." for parent in parents)
        hint = did_you_mean(str(last), known, prefix=prefix) or f"; known: {listed(known, limit=50)}"
        return f"{file}: {key} is not a setting{hint}"
    if problem["type"] == "missing":
        return f"{file}: {key} is missing; add it"
    if problem["type"] == "value_error":
        return f"{file}: {key}: {problem['ctx']['error']}"
    return f"{file}: {key} is {_show(_written(raw, problem))}, but {_allowed(problem)}"


def _written(raw: Any, problem: ErrorDetails) -> object:
    """Return the wrong value as the file has it; as it was checked, where the file has a short form of it."""
    try:
        for step in problem["loc"]:
            raw = raw[step]
    except (LookupError, TypeError):
        return problem["input"]
    return raw


def _allowed(problem: ErrorDetails) -> str:
    """Describe the values that are allowed."""
    if problem["type"] == "literal_error":
        return f"must be one of {problem['ctx']['expected']}"
    if problem["type"] == "string_pattern_mismatch":
        return "must be one of 'auto', 'cpu', 'mps', 'cuda' or 'cuda:N'"
    allowed = problem["msg"].partition(" after validation")[0]
    for words, plain in PLAIN_ENGLISH.items():
        allowed = allowed.replace(words, plain)
    return allowed


def _known_keys(model: type[BaseModel], path: list[Any]) -> Iterable[str]:
    """Return the keys that are allowed at `path`."""
    known: Any = model
    for step in path:
        known = _alternative(known, isinstance(step, int))
        if get_origin(known) is tuple:
            known = get_args(known)[0]
            known = known.__origin__ if get_origin(known) is Annotated else known
        else:
            known = get_args(known)[1] if get_origin(known) is dict else known.model_fields[step].annotation
    known = _alternative(known, False)
    if get_origin(known) is dict:
        return get_args(get_args(known)[0])
    return known.model_fields if isinstance(known, type) and issubclass(known, BaseModel) else ()


def _alternative(annotation: Any, is_list: bool) -> Any:
    """Return the type of a union with a list that is, or is not, the list; other types stay."""
    if get_origin(annotation) is not UnionType:
        return annotation
    return next((part for part in get_args(annotation) if (get_origin(part) is tuple) == is_list), annotation)


def _show(value: object) -> str:
    """Return the value as the user wrote it, but short: with aliases, a few lines of YAML can hold gigabytes."""
    text = "empty" if value is None else SHORT_REPR.repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
