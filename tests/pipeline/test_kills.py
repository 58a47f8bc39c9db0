"""Runs that are killed or stopped at any moment, and two runs at once."""

import random
import re
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.dvc_here import dvc
from tests.pipeline.faults import HANG_SECONDS, run, stage, stage_of, start
from tests.projects import STAGES, contents, stage_command

KILLS = 20


@pytest.mark.slow
def test_kills_at_any_moment_leave_the_next_run_the_same_dvc_lock(finished: Path) -> None:
    """SIGKILL to the stage or to DVC itself, whose stage then has to end with it."""
    lock = (finished / "dvc.lock").read_bytes()
    chance = random.Random(0)
    killed = 0
    for number in range(KILLS):
        name = list(STAGES)[number % len(STAGES)]
        process = start(finished, "dvc", "repro", "--force", "--single-item", "--no-run-cache", name)
        child = stage_of(process, name)
        time.sleep(chance.uniform(0, 1.5))
        dvc_too = number % 2 == 1
        try:
            process.kill() if dvc_too else child.kill()
        except psutil.NoSuchProcess:
            continue  # had ended by itself
        finally:
            out = "".join(process.communicate())
        child.wait(HANG_SECONDS)
        killed += process.returncode != 0
        after = dvc(finished, "repro", "--no-run-cache")
        assert (finished / "dvc.lock").read_bytes() == lock, f"{name}: {out}{after.stdout}"
    assert killed >= KILLS / 2, "most of them hit"
    assert "up to date" in run(finished, "dvc", "status").stdout
    # What DVC has in its cache it does not run again: only a run removes what a killed one left.
    run(finished, "dvc", "repro", "--force", "--no-run-cache")
    assert not list((finished / "data").glob(".*"))


def test_the_second_of_two_runs_at_once_is_refused(finished: Path) -> None:
    lock = (finished / "dvc.lock").read_bytes()
    first = start(finished, "dvc", "repro", "--force")
    stage_of(first, "prepare")
    second = run(finished, "dvc", "repro", "--force", check=False)
    assert second.returncode != 0 and re.search(r"[Ll]ock|is busy", second.stderr), second.stderr
    # A stage by hand, past DVC's lock, waits for no one either.
    by_hand = stage(finished, "prepare", check=False)
    assert by_hand.returncode == 0 or "is being written by another process" in by_hand.stderr
    out = "".join(first.communicate())
    assert first.returncode == 0 or "being written by another process" in out, out
    dvc(finished, "repro")
    assert (finished / "dvc.lock").read_bytes() == lock


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", STAGES)
def test_sigterm_ends_a_stage_and_leaves_earlier_outputs(finished: Path, name: str, seed: int) -> None:
    before = contents(finished / "data")
    process = start(finished, *stage_command(name))
    time.sleep(random.Random(f"{name} {seed}").uniform(0.1, 1.5))
    process.terminate()
    out = "".join(process.communicate(timeout=HANG_SECONDS))
    assert process.returncode in (0, 143, -signal.SIGTERM), out
    assert "Traceback" not in out
    assert not list((finished / "data").glob(".*"))
    assert contents(finished / "data") == before
