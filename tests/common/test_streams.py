"""Standard output and error that are closed, full, or read by nobody."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.projects import LINUX, POSIX, set_params

pytestmark = POSIX
PREPARE = (sys.executable, "-m", "stages.prepare", "data/prepared")


def shell(project: Path, redirection: str, command: Sequence[str] = PREPARE) -> subprocess.CompletedProcess[str]:
    """Run a command in bash with its streams redirected; `code` holds its own exit code."""
    line = f'("$@"; echo $? >code) {redirection}'
    return subprocess.run(
        ["bash", "-c", line, "bash", *command], cwd=project, check=False, capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def small(project: Path) -> Path:
    (project / "data/reviews.csv").write_text(
        "text,category\n" + "".join(f"row {n},{'ab'[n % 2]}\n" for n in range(60)), "utf-8"
    )
    set_params(project, prepare__data="data/reviews.csv")
    return project


def code(project: Path) -> str:
    return (project / "code").read_text("utf-8").strip()


@pytest.mark.parametrize(
    "redirection", ["| true", "2>&1 | true", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "| (exec <&-; sleep 0.1)"]
)
def test_a_run_without_readers_ends_as_any_other(small: Path, redirection: str) -> None:
    done = shell(small, redirection)
    assert code(small) == "0", done.stderr
    assert "Error" not in done.stderr and "Exception" not in done.stderr
    assert json.loads((small / "data/prepared/summary.json").read_text("utf-8"))["rows"] == 60
    assert not list((small / "data").glob(".*.tmp"))


@LINUX
def test_a_full_disk_for_the_output_is_one_sentence_and_the_result_is_kept(small: Path) -> None:
    done = shell(small, ">/dev/full")
    assert code(small) == "1"
    assert done.stderr.splitlines()[-1] == (
        "error: the disk is full (No space left on device); free space and run again"
    )
    assert (small / "data/prepared/summary.json").exists()


@pytest.mark.parametrize("redirection", ["| true", ">&-", "2>&-"])
def test_the_exit_code_of_a_mistake_and_of_help_stays(small: Path, redirection: str) -> None:
    done = shell(small, redirection, [*PREPARE, "--params", "none.yaml"])
    assert code(small) == "1" and "Traceback" not in done.stderr
    done = shell(small, redirection, [*PREPARE, "--help"])
    assert code(small) == "0" and done.stderr == ""


@LINUX
def test_a_closed_stream_does_not_become_the_next_file(small: Path) -> None:
    """Else a library that prints would write into an output."""
    script = "import os; from stages.common import streams; streams.guard(); os.write(1, b'x'); os.write(2, b'x');"
    script += "file = open('out', 'wb'); assert file.fileno() > 2"
    shell(small, "<&- >&- 2>&-", [sys.executable, "-c", script])
    assert code(small) == "0" and (small / "out").stat().st_size == 0
