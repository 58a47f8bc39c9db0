"""Standard output and error that last as long as the process, although their readers may leave before.

A run whose reader left (`| head -1`) or that was started without them (`>&-`) ends as any other: its result is in its
files and its exit code.
"""

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import TextIOWrapper
from typing import IO, Any, cast

from stages.common.errors import printable

LEFT = (errno.EPIPE, errno.EIO)  # a pipe or a terminal that nobody reads any more

PROGRESS_MOVES = re.compile(r"(\n|\x1b\[A)*")  # up and down between progress bars


class Lasting(TextIOWrapper):
    """A standard stream that drops what cannot be written, and remembers why unless its reader left."""

    failure: OSError | None = None

    def write(self, text: str) -> int:
        """Write or drop text; return the number of characters."""
        try:
            return super().write(text)
        except OSError as error:
            self._drop(error)
            return len(text)

    def flush(self) -> None:
        """Write or drop the text that is buffered."""
        try:
            super().flush()
        except OSError as error:
            self._drop(error)

    def _drop(self, error: OSError) -> None:
        """Send what is buffered, and all that follows, nowhere: else the interpreter would try again at its end."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        if error.errno not in LEFT:
            self.failure = error


class Plain:
    """A stream that shows control characters, such as the escape sequences in a name, instead of sending them."""

    def __init__(self, stream: IO[str], keep: str) -> None:
        self._stream, self._keep = stream, keep

    def write(self, text: str) -> int:
        """Write text as escapes where a terminal would obey it; return the number of characters."""
        self._stream.write(text if PROGRESS_MOVES.fullmatch(text) else printable(text, self._keep))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def without_control_characters() -> Iterator[None]:
    """Let no control character but line breaks, tabs and the moves of progress bars reach the terminal."""
    out, errors = Plain(sys.stdout, "\n\t"), Plain(sys.stderr, "\n\t\r")
    with redirect_stdout(cast(IO[str], out)), redirect_stderr(cast(IO[str], errors)):
        yield


def guard() -> None:
    """Make standard output and error lasting. Characters that the terminal cannot show are written as escapes."""
    for descriptor in (0, 1, 2):  # a closed one would become the next file that is opened, such as an output
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream: Any = getattr(sys, name)
        if stream is None:  # it was closed when Python started
            lasting = Lasting(os.fdopen(descriptor, "wb", closefd=False), "utf-8", "backslashreplace")
        else:
            # The old stream shares the buffer, and stays in use where a library kept it.
            lasting = Lasting(stream.buffer, stream.encoding, "backslashreplace", line_buffering=stream.line_buffering)
        setattr(sys, name, lasting)


def flush() -> None:
    """Write what is buffered for standard output.

    Raises:
        OSError: that, or earlier output, could not be written, for example to a file on a full disk.
    """
    sys.stdout.flush()
    if failure := getattr(sys.stdout, "failure", None):
        raise failure
