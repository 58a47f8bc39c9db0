"""Verbs in bounded memory, and the processes that DVC starts."""

import subprocess
import time
from functools import partial

import psutil

from tests import projects

MEMORY = 3 * 2**30  # bytes of address space
HANG_SECONDS = 120  # seconds until something hangs, on the slowest machine

run = partial(projects.run, memory=MEMORY)
start = partial(projects.start, memory=MEMORY)
stage = partial(projects.stage_process, memory=MEMORY)


def stage_of(dvc: subprocess.Popen[str], name: str) -> psutil.Process:
    """The process of a stage that DVC runs; waits until there is one."""
    deadline = time.monotonic() + HANG_SECONDS
    while time.monotonic() < deadline and dvc.poll() is None:
        for child in psutil.Process(dvc.pid).children(recursive=True):
            try:
                if f"stages.{name}" in child.cmdline():  # an argument of its own: a shell has all in one
                    return child
            except psutil.Error:
                continue
        time.sleep(0.005)
    raise AssertionError(f"DVC started no {name}: {''.join(dvc.communicate())}")
