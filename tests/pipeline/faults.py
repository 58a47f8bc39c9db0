"""Verbs in bounded memory, and the processes that DVC starts."""

import subprocess
import time
from functools import partial
from pathlib import Path

from tests import projects

MEMORY = 3 * 2**30  # bytes of address space
PATIENCE = 120  # seconds until something hangs, on the slowest machine


run, start, stage = (partial(each, memory=MEMORY) for each in (projects.run, projects.start, projects.stage_process))


def stage_of(dvc: subprocess.Popen[str], name: str) -> int:
    """The process of a stage that DVC runs; waits until there is one."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and dvc.poll() is None:
        for child in Path(f"/proc/{dvc.pid}/task/{dvc.pid}/children").read_text(encoding="utf-8").split():
            try:
                if f"stages.{name}" in Path(f"/proc/{child}/cmdline").read_text(encoding="utf-8"):
                    return int(child)
            except OSError:
                continue
        time.sleep(0.005)
    raise AssertionError(f"DVC started no {name}: {''.join(dvc.communicate())}")


def wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while (
        Path(f"/proc/{pid}").exists()
        and "Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2][:3]
    ):
        assert time.monotonic() < deadline, f"{pid} lives on"
        time.sleep(0.02)
