"""Tables of texts with labels of any task, and what prepare makes of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from stages.common.errors import HeadstartError
from stages.prepare import prepare
from stages.tables import label_texts, prepared
from tests.tables_of_text import settings

Printed = pytest.CaptureFixture[str]
MANY = 120


def names_of(number: int) -> list[str]:
    """Labels of a row: none, one or two."""
    return [name for name, divisor in (("bug", 2), ("billing", 3)) if number % divisor == 0]


def jsonl(path: Path, labels: list[Any]) -> Path:
    lines = [json.dumps({"text": f"text {n}", "label": label}) for n, label in enumerate(labels)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def csv(path: Path, labels: list[str]) -> Path:
    """A table that is divided by tabs, as labels hold commas and quotes."""
    path.write_text("text\tlabel\n" + "".join(f"text {n}\t{label}\n" for n, label in enumerate(labels)), "utf-8")
    return path


def by_text(folder: Path) -> dict[str, str | None]:
    """The labels of all tables by the rows' texts."""
    labels: dict[str, str | None] = {}
    for split in prepared.TABLES:
        table = prepared.read(folder, split)
        labels |= zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True)
    return labels


def refused(folder: Path, table: Path, **changes: Any) -> str:
    with pytest.raises(HeadstartError) as error:
        prepare(folder / "out", settings(table, **changes))
    return str(error.value)


LISTS = [names_of(n) for n in range(MANY)]
WANTED = {f"text {n}": label_texts.from_names(names) for n, names in enumerate(LISTS)}  # by text, in the prepared table
