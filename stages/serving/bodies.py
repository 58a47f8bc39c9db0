"""Make rows of what a client sends: JSON, or a form with files. Nothing in it is a path that is opened."""

import asyncio
import base64
import binascii
import json
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import python_multipart  # noqa: F401, MultiPartParser needs it, and says so only when it is called
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from stages.common.errors import HeadstartError, counted, did_you_mean, listed, one_line
from stages.heads.model_card import ModelCard
from stages.serving import limits
from stages.serving.limits import RefusedError
from stages.sources import Columns, Row, row, table_rows

JSON, FORM = "application/json", "multipart/form-data"
KEY = "inputs"  # of a JSON body
MAX_KEYS = 1_000  # of an input: looking for a similar one takes time
MAX_SHOWN = 50  # characters of a name in an error
DATA_ADDRESS = re.compile(r"data:[\w/+.;=-]*;base64,")  # as a page makes it of a file


def kind(content_type: str) -> str:
    """Return JSON or FORM.

    Raises:
        RefusedError: the body is of another type, or of a form in another encoding than UTF-8.
    """
    name = content_type.partition(";")[0].strip().lower()
    if name not in (JSON, FORM):
        raise RefusedError(415, f"the body is {name or 'of no type'}; send {JSON} or {FORM}")
    if name == FORM and "charset" in content_type.lower():  # of any name that Python knows, slow ones among them
        raise RefusedError(415, "a form has a charset; send UTF-8, and leave charset out")
    return name


def rows(content: bytes, content_type: str, card: ModelCard, *, max_rows: int) -> list[Row]:
    """Make one row of every input.

    Raises:
        RefusedError: the body has another form, or too many rows, or a text is too long.
    """
    columns = Columns(card.input)
    read = _from_json if kind(content_type) == JSON else _from_form
    values = read(content, content_type, columns)
    if not values:
        raise RefusedError(422, f"the request has no {KEY}; send at least one")
    if len(values) > max_rows:
        raise RefusedError(413, f"the request has {len(values):,} inputs; send at most {max_rows:,} at a time")
    return [_row(f"input {number}", value, columns, card) for number, value in enumerate(values, start=1)]


def _from_json(content: bytes, _: str, __: Columns) -> list[Any]:
    """Return the inputs of a JSON body."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RefusedError(422, f"the body is not valid JSON: {one_line(error)}") from None
    if not isinstance(body, dict) or body.keys() != {KEY}:
        keys = f" with {listed(map(_shown, body), 5)}" if isinstance(body, dict) and body else ""
        raise RefusedError(422, f'the body is {_kind(body)}{keys}; send {{"{KEY}": [...]}}')
    inputs = body[KEY]
    return inputs if isinstance(inputs, list) else [inputs]


def _from_form(content: bytes, content_type: str, columns: Columns) -> list[Any]:
    """Return the inputs of a form: its files and fields of the columns' names; the n-th ones are the n-th row.

    Of one column, a file may have any name.
    """
    parts, names = _parts(content, content_type), columns.inputs()
    if not any(isinstance(value, UploadFile) for _, value in parts) and not _is_utf8(content):
        raise RefusedError(422, "the form is not UTF-8; send UTF-8")  # the parser would read it as Latin-1
    values: dict[str, list[Any]] = {name: [] for name in names}
    for name, value in parts:
        own = names[0] if len(names) == 1 and isinstance(value, UploadFile) else name
        if own not in values:
            shown = f"{_shown(name)}; send {listed(names)}{did_you_mean(_shown(name), names)}"
            raise RefusedError(422, f"a form field is called {shown}")
        values[own].append(value)
    counts = {len(column) for column in values.values()}
    if len(counts) > 1:
        shown = listed(f"{len(column)} of {name}" for name, column in values.items())
        raise RefusedError(422, f"the form has {shown}; send as many of one as of the other")
    return [dict(zip(names, fields, strict=True)) for fields in zip(*values.values(), strict=True)]


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _parts(content: bytes, content_type: str) -> list[tuple[str, str | UploadFile]]:
    """Parse a form, without a temporary file."""

    async def chunks() -> AsyncGenerator[bytes, None]:
        yield content

    size = len(content) + 1
    parser = MultiPartParser(
        Headers({"content-type": content_type}),
        chunks(),
        max_files=max(limits.MAX_ROWS.values()) + 1,
        max_fields=2 * max(limits.MAX_ROWS.values()) + 1,
        max_part_size=size,
    )
    parser.spool_max_size = size
    try:
        return asyncio.run(parser.parse()).multi_items()
    except MultiPartException as error:
        raise RefusedError(422, f"the form cannot be read: {one_line(error)}") from None


def _row(origin: str, value: Any, columns: Columns, card: ModelCard) -> Row:
    """Check one input, a value or values by column, as prepare checks a row of a table."""
    names = columns.inputs()
    if isinstance(value, dict):
        if len(value) > MAX_KEYS:
            raise RefusedError(422, f"{origin} has {len(value):,} keys; send {listed(names)} alone")
        try:
            row.require(Path(origin), columns, list(map(str, value)))
        except HeadstartError as error:
            raise RefusedError(422, str(error)) from None
    elif len(names) > 1:
        raise RefusedError(422, f"{origin} is one value; send an object with {listed(names)}")
    else:
        value = {names[0]: value}
    record = {name: value[name] for name in names}
    if card.modality == "image":
        return _picture(origin, names[0], record[names[0]])
    for name in names:
        text = record[name].file.read() if isinstance(record[name], UploadFile) else record[name]
        record[name] = text
        if isinstance(text, str | bytes) and len(text) > limits.MAX_CHARACTERS:
            size = counted(limits.MAX_CHARACTERS, "character")
            raise RefusedError(413, f"{name} of {origin} is longer than {size}; send a part of it")
    return table_rows.row(origin, record, columns, None, None)


def _picture(origin: str, column: str, value: Any) -> Row:
    """Take a picture out of a file of a form, or out of base64."""
    name, content, problem = None, b"", None
    if isinstance(value, UploadFile):
        name, content = value.filename or None, value.file.read()
    elif isinstance(value, str):
        content, problem = _decoded(value)
    elif value is not None:
        problem = f"is {_kind(value)}, not an image as base64"
    if not content and not problem:
        problem = "is empty"
    return Row(origin, content, name=name, problem=problem and f"{column} {problem}")


def _decoded(text: str) -> tuple[bytes, str | None]:
    """Return (bytes, None) of base64, or (no bytes, why it is none)."""
    address = DATA_ADDRESS.match(text)
    digits = "".join(text[address.end() if address else 0 :].split()).translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True), None
    except (binascii.Error, ValueError):
        return b"", "is not an image as base64"


def _kind(value: Any) -> str:
    """Name the type of a JSON value."""
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _shown(name: Any) -> str:
    return str(name)[:MAX_SHOWN]
