"""Parse the command line of a benchmark."""

import argparse
from typing import Any


def parse(doc: str | None, **arguments: Any) -> argparse.Namespace:
    """Parse positional arguments; `--help` prints `doc`.

    Args:
        arguments: name to a type for one that is required, to a list for any number, or to the default value.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in arguments.items():
        if isinstance(value, type):
            parser.add_argument(name, type=value)
        elif isinstance(value, list):
            parser.add_argument(name, type=type(value[0]), nargs="*", default=value)
        else:
            parser.add_argument(name, type=type(value), nargs="?", default=value)
    return parser.parse_args()
