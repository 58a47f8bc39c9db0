"""What the command lines of all verbs share: paths as positionals, `--params`, errors as one sentence."""

import argparse
import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stages import cost, outputs
from stages.errors import HeadstartError

# What the system says to a writer, in a user's words, and what to do.
REFUSALS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), ("the disk is full", "free space")),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), ("access is denied", "change its permissions")),
}
GRACE = 3.0  # seconds that SIGTERM leaves to what is running


def arguments(
    doc: str | None,
    *,
    with_params: bool = True,
    instead: Mapping[str, tuple[str, Callable[[], None]]] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    **paths: str,
) -> argparse.Namespace:
    """Parse the command line of a verb.

    Args:
        doc: the verb's module docstring, printed by `--help`.
        with_params: whether the verb reads params.yaml.
        instead: options that do something else and end, each with its help text and what it calls.
        options: further options, each with what argparse's add_argument takes.
        paths: one positional argument each, name to help text, parsed to `Path`.
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
    for option, (text, function) in (instead or {}).items():
        parser.add_argument(option, action=_Instead, const=function, nargs=0, help=text)
    return parser.parse_args()


class _Instead(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        self.const()
        parser.exit()


def run(main: Callable[[], int | None]) -> None:
    """Run a verb's `main`, which may give an exit code; a user's mistake ends with one sentence on stderr, and 1."""
    if "DVC_STAGE" in os.environ:
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    _heed_sigterm()
    # A name that the terminal cannot show ends no run.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = main() or 0
    except HeadstartError as error:
        code = 1
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        code = 1
        what, fix = REFUSALS[error.errno]
        where = f" at {error.filename}" if error.filename else ""
        print(f"error: {what}{where} ({os.strerror(error.errno)}); {fix} and run again", file=sys.stderr)
    except MemoryError as error:
        code = 1
        print(f"error: memory is full ({error}); free some, or use fewer rows", file=sys.stderr)
    except KeyboardInterrupt:
        code = 130
    cost.log(Path(sys.argv[0]).stem, code)
    if code:
        sys.exit(code)


def _heed_sigterm() -> None:
    """Let SIGTERM unwind like an exception, so that half-written outputs are removed on the way out.

    Python does so when the main thread comes back from what it calls, and threads of a pool are waited for: a head of
    many rows would hold both up. So a thread, which hears of the signal at once, ends what has not ended in time.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def watch() -> None:
        while os.read(reading, 1)[0] != signal.SIGTERM:
            pass
        time.sleep(GRACE)
        outputs.discard()
        os._exit(143)

    threading.Thread(target=watch, daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when `parent` is gone.

    A stage that outlives a killed DVC would write beside the run that replaces it. The commands in dvc.yaml
    start with `exec`, so the parent is DVC itself and not a shell between the two.
    """
    while os.getppid() == parent:
        time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGTERM)
