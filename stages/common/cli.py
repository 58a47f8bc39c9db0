"""Parse the command line of a verb, run it, and print a user's mistake as one sentence."""

import argparse
import errno
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stages.common import cache_folder, run_stats, signals, streams, threads
from stages.common.errors import HeadstartError

# Operating-system write errors, in plain words, and how to fix them.
REFUSALS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), ("the disk is full", "free space")),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), ("access is denied", "change its permissions")),
}


def arguments(
    doc: str | None,
    *,
    with_params: bool = True,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    **paths: str,
) -> argparse.Namespace:
    """Parse the command line of a verb.

    Args:
        doc: the verb's module docstring, printed by `--help`.
        with_params: whether the verb reads params.yaml.
        options: further options, name to the arguments of argparse's add_argument.
        paths: positional arguments, name to help text, parsed to `Path`.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {sys.modules['__main__'].__spec__.name}" if sys.modules["__main__"].__spec__ else None,
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, text in paths.items():
        parser.add_argument(name, type=Path, help=text)
    if with_params:
        parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="settings (default: %(default)s)")
    for option, given in (options or {}).items():
        parser.add_argument(option, **given)
    return parser.parse_args()


def run(main: Callable[[], int | None]) -> None:
    """Run a verb's `main`, and end this process with the exit code that it may return."""
    streams.guard()
    signals.heed()
    threads.share()
    if code := outcome(main):
        sys.exit(code)


def outcome(main: Callable[[], int | None]) -> int:
    """Run a verb's `main` and give its exit code; a user's mistake ends with one sentence on stderr, and 1."""
    with streams.without_control_characters():
        return _outcome(main)


def _outcome(main: Callable[[], int | None]) -> int:
    try:
        code = main() or 0
        streams.flush()
    except HeadstartError as error:
        code = 1
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        if error.errno is None or (error.errno not in REFUSALS and error.filename is None):
            raise
        code = 1
        problem, fix = REFUSALS.get(error.errno, ("a file cannot be used", "correct its path"))
        if error.filename and cache_folder.is_on_way(os.fsdecode(error.filename)):
            fix = "set HEADSTART_CACHE to a folder that can be written"
        file = f" at {error.filename}" if error.filename else ""
        print(f"error: {problem}{file} ({os.strerror(error.errno)}); {fix} and run again", file=sys.stderr)
    except MemoryError as error:
        code = 1
        print(f"error: memory is full ({error}); free some, or use fewer rows", file=sys.stderr)
    except KeyboardInterrupt:
        code = 130
    run_stats.log(Path(sys.argv[0]).stem, code)
    return code
