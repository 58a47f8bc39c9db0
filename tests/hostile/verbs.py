"""Run a verb on hostile input: in this process, or in one whose memory is limited."""

import sys
import tempfile
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.hostile import forks
from tests.projects import POSIX, Done, stage

MEMORY = 3 * 2**30  # bytes of address space; a limit on what a hostile input can make a verb take
TORCH_MEMORY = 8 * 2**30  # of which importing torch takes the most


Way = Callable[..., Done]


def here(project: Path, name: str, *arguments: str) -> Done:
    """Run a verb in this process, which takes no time to start."""
    return stage(project, name, *arguments, check=False)


def limited(project: Path, name: str, *arguments: str) -> Done:
    """Run a verb in a process with its memory limited."""
    if sys.platform != "linux":
        pytest.skip("only Linux limits the address space of a process")
    memory = TORCH_MEMORY if name == "extract" else MEMORY
    with tempfile.TemporaryDirectory() as scratch:
        return forks.run(project, name, *arguments, memory=memory, scratch=Path(scratch))


def ways(
    cases: Iterable[str], *, large: Collection[str] = (), slow: Collection[str] = (), posix: Collection[str] = ()
) -> list[Any]:
    """Parameters (case, way to run a verb) of a test: in this process, and slowly with limited memory.

    Args:
        large: cases that could fill the memory, and so are tried with limited memory only, and quickly.
        slow: such cases that take long.
        posix: cases of files that Windows does not have.
    """
    parameters = []
    for case in cases:
        if case not in [*large, *slow]:
            parameters.append(pytest.param(case, here, id=case, marks=[POSIX] if case in posix else []))
        marks = [] if case in large else [pytest.mark.slow]
        parameters.append(pytest.param(case, limited, id=f"{case}, in little memory", marks=marks))
    return parameters


def refused(done: Done, words: str) -> None:
    """Check for one sentence on stderr, and exit code 1."""
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and words in done.stderr, done.stderr
