"""JSON files of outputs: readable, and the same bytes on every system."""

import json
from pathlib import Path
from typing import Any


def write(path: Path, content: object, *, indent: int = 2) -> None:
    """Write `content` as UTF-8 with its keys in their order and a line break at the end.

    Of a list, every part is one line: of a point for every row, to indent them takes json ten times as long.
    """
    if isinstance(content, list) and content:
        lines = ",\n".join(map(json.JSONEncoder(ensure_ascii=False).encode, content))
        text = f"[\n{lines}\n]"
    else:
        text = json.dumps(content, indent=indent, ensure_ascii=False)
    path.write_text(text + "\n", "utf-8", newline="\n")


def line(value: object) -> str:
    """Write a value as JSON in one line; what JSON does not know, such as a date, as text."""
    return json.dumps(value, ensure_ascii=False, default=str)


def mapping(path: Path) -> dict[str, Any]:
    """Read a mapping; empty if the file is missing or holds anything else."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
