"""When a verb ends: with the DVC that started it, and on SIGTERM."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.projects import ROOT, start

# Waits as a stage does, in a thread that nothing can interrupt where an argument says so; writes its number first.
STAGE = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from stages.common import atomic, cli

def main():
    with atomic.directory(Path("out"), None), ThreadPoolExecutor(1) as pool:
        Path("number").write_text(str(__import__("os").getpid()), "utf-8")
        pool.submit(time.sleep, 60).result() if sys.argv[1] == "in a thread" else time.sleep(60)

cli.run(main)
"""


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC project of one stage, which leaves a shell between DVC and the script."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "stage.py").write_text(STAGE, "utf-8")
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=tmp_path, check=True)
    return tmp_path


def number_of(folder: Path) -> int:
    """Wait until the stage waits, and give the number of its process."""
    while not (folder / "number").exists() or not (folder / "number").read_text("utf-8"):
        time.sleep(0.02)
    return int((folder / "number").read_text("utf-8"))


@pytest.mark.parametrize("waiting", ["itself", "in a thread"])
def test_a_stage_ends_with_a_killed_dvc_although_the_shell_between_them_lives_on(pipeline: Path, waiting: str) -> None:
    command = f"python stage.py '{waiting}' && echo done"
    (pipeline / "dvc.yaml").write_text(f"stages: {{wait: {{cmd: {command}, outs: [out]}}}}", "utf-8")
    dvc = start(pipeline, "dvc", "repro")
    stage = psutil.Process(number_of(pipeline))
    assert stage.ppid() != dvc.pid, "a shell stands between them"
    dvc.kill()
    dvc.wait()
    stage.wait(timeout=30)
    dvc.communicate()  # the shell has ended too
    assert not list(pipeline.glob("*out*")) and not list(pipeline.glob(".out*"))


@pytest.mark.parametrize("waiting", ["itself", "in a thread"])
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM that a process hears of")
def test_sigterm_ends_a_verb_that_waits_and_removes_what_is_half_written(pipeline: Path, waiting: str) -> None:
    process = start(pipeline, sys.executable, "stage.py", waiting)
    number_of(pipeline)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert not list(pipeline.glob(".out*"))
