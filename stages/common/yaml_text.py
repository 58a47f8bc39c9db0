"""YAML as DVC reads and writes it: version 1.2, where `on` is a text and `1e-3` a number."""

from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.common.errors import HeadstartError, not_utf8, one_line


def read(path: Path) -> object:
    """Return the content of an existing file.

    Raises:
        HeadstartError: it is not UTF-8, or not YAML.
    """
    try:
        return parse(path.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise not_utf8(path, f"at byte {error.start}") from None
    except ValueError as error:
        raise HeadstartError(f"{path} is not valid YAML ({error}); correct it") from None


def parse(text: str) -> object:
    """Return the content of `text`; tags make no objects.

    Raises:
        ValueError: it is not YAML, or names a key twice; the message names the line and the problem.
    """
    try:
        return YAML(typ="safe", pure=True).load(text)  # the parser in C crashes at 100,000 brackets
    except (YAMLError, ValueError, KeyError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or one_line(error)
        raise ValueError(f"line {mark.line + 1}: {problem}" if mark else problem) from None
