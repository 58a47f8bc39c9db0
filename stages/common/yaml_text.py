"""YAML as DVC reads and writes it: version 1.2, where `on` is a text and `1e-3` a number."""

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.common.errors import one_line


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
