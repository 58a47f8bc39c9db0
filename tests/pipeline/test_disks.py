"""Full disks, and disks that cannot be written."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.projects import STAGES, stage


def to(target: Path, project: Path, name: str) -> subprocess.CompletedProcess[str]:
    """Run a stage whose output is `target`."""
    return stage(project, name, *(f"data/{path}" for path in STAGES[name][:-1]), str(target), check=False)


@pytest.mark.parametrize("name", STAGES)
def test_a_full_disk_is_one_sentence(finished: Path, disk: Callable[[str], Path], name: str) -> None:
    folder = disk("size=16k")
    filler = folder / "filler"
    filler.write_bytes(b"x" * (16_384 if name == "finetune" else 4_096))  # without a method it writes a line
    done = to(folder / "out", finished, name)
    assert done.returncode == 1, done.stderr
    assert re.fullmatch(
        r"error: the disk is full.*\(No space left on device\); free space and run again\n", done.stderr
    )
    assert list(folder.iterdir()) == [filler]


@pytest.mark.parametrize("name", STAGES)
def test_a_disk_that_cannot_be_written_is_one_sentence(finished: Path, disk: Callable[[str], Path], name: str) -> None:
    done = to(disk("ro") / "out", finished, name)
    assert done.returncode == 1, done.stderr
    assert re.fullmatch(r"error: access is denied at \S+ \(Read-only file system\); .+\n", done.stderr), done.stderr
