"""Run a verb on hostile input in bounded memory."""

import subprocess
import sys
from pathlib import Path

from tests import conftest

MEMORY = 3 * 2**30  # bytes of address space; a limit on what a hostile input can make a verb take


def run(project: Path, *command: str, memory: int = MEMORY) -> subprocess.CompletedProcess[str]:
    """Run a verb with its memory limited."""
    return conftest.run(project, sys.executable, "-m", *command, check=False, memory=memory)


def refused(done: subprocess.CompletedProcess[str], words: str) -> None:
    """One sentence on stderr, and exit code 1."""
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and words in done.stderr, done.stderr
