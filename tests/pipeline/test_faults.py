"""What may happen to a run: kills at any moment, full and read-only disks, two runs at once, odd clocks and locales."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests import conftest
from tests.conftest import QUICK, STAGES, contents, make_project, set_params

KILLS = 20
MEMORY = 3 * 2**30  # bytes of address space


run, start, stage = (partial(each, memory=MEMORY) for each in (conftest.run, conftest.start, conftest.stage))


def stage_of(dvc: subprocess.Popen[str], name: str) -> int:
    """The process of a stage that DVC runs; waits until there is one."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and dvc.poll() is None:
        for child in Path(f"/proc/{dvc.pid}/task/{dvc.pid}/children").read_text().split():
            try:
                if f"stages.{name}" in Path(f"/proc/{child}/cmdline").read_text():
                    return int(child)
            except OSError:
                continue
        time.sleep(0.005)
    raise AssertionError(f"DVC started no {name}: {''.join(dvc.communicate())}")


def wait_for_end(pid: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]:
        assert time.monotonic() < deadline, f"{pid} lives on"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which every stage ran."""
    project = make_project(tmp_path_factory.mktemp("faults") / "project")
    set_params(project, **QUICK)
    run(project, "dvc", "repro")
    return project


@pytest.fixture
def project(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to be harmed."""
    shutil.copytree(whole, tmp_path / "project")
    return tmp_path / "project"


def test_kills_at_any_moment_leave_the_next_run_the_same_dvc_lock(project: Path) -> None:
    """SIGKILL to the stage or to DVC itself, whose stage then has to end with it."""
    lock = (project / "dvc.lock").read_bytes()
    chance = random.Random(0)
    killed = 0
    for number in range(KILLS):
        name = list(STAGES)[number % len(STAGES)]
        dvc = start(project, "dvc", "repro", "--force", "--single-item", "--no-run-cache", name)
        child = stage_of(dvc, name)
        time.sleep(chance.uniform(0, 1.5))
        dvc_too = number % 2 == 1
        try:
            os.kill(dvc.pid if dvc_too else child, signal.SIGKILL)
        except ProcessLookupError:
            continue  # had ended by itself
        finally:
            out = "".join(dvc.communicate())
        wait_for_end(child, 5)
        killed += dvc.returncode != 0
        after = run(project, "dvc", "repro", "--no-run-cache")
        assert (project / "dvc.lock").read_bytes() == lock, f"{name}: {out}{after.stdout}"
        assert not list((project / "data").glob(".*")), name
    assert killed >= KILLS / 2, "most of them hit"
    assert "up to date" in run(project, "dvc", "status").stdout


def test_of_two_runs_at_once_one_is_told_so(project: Path) -> None:
    lock = (project / "dvc.lock").read_bytes()
    first = start(project, "dvc", "repro", "--force")
    stage_of(first, "prepare")
    second = run(project, "dvc", "repro", "--force", check=False)
    assert second.returncode != 0 and re.search(r"[Ll]ock|is busy", second.stderr), second.stderr
    # A stage by hand, past DVC's lock, waits for no one either.
    by_hand = stage(project, "prepare", check=False)
    assert by_hand.returncode == 0 or "is being written by another process" in by_hand.stderr
    out = "".join(first.communicate())
    assert first.returncode == 0 or "being written by another process" in out, out
    run(project, "dvc", "repro")
    assert (project / "dvc.lock").read_bytes() == lock


@pytest.mark.alone
@pytest.mark.parametrize("name", STAGES)
def test_sigterm_ends_a_stage_in_five_seconds_and_leaves_what_was(project: Path, name: str) -> None:
    before = contents(project / "data")
    chance = random.Random(name)
    for _ in range(3):
        command = [sys.executable, "-m", f"stages.{name}", *(f"data/{path}" for path in STAGES[name])]
        process = start(project, *command)
        time.sleep(chance.uniform(0.1, 1.5))
        process.terminate()
        began = time.monotonic()
        out = "".join(process.communicate(timeout=60))
        assert time.monotonic() - began < 5
        assert process.returncode in (0, 143, -signal.SIGTERM), out
        assert "Traceback" not in out
        assert not list((project / "data").glob(".*"))
        assert contents(project / "data") == before


@pytest.mark.alone
def test_sigterm_does_not_wait_for_a_head_that_takes_long(project: Path, tmp_path: Path) -> None:
    """Fits run in threads, which nothing can interrupt."""
    code = (
        "import sys, time; from concurrent.futures import ThreadPoolExecutor; from pathlib import Path\n"
        "from stages.common import atomic, cli\n"
        "def main():\n"
        "    with atomic.directory(Path('data/head')) as out, ThreadPoolExecutor(2) as pool:\n"
        "        print('begun', flush=True)\n"
        "        list(pool.map(time.sleep, [60, 60]))\n"
        "cli.run(main)\n"
    )
    before = contents(project / "data/head")
    process = start(project, sys.executable, "-c", code)
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    process.terminate()
    began = time.monotonic()
    process.communicate(timeout=70)
    assert time.monotonic() - began < 5 and process.returncode == 143
    assert contents(project / "data/head") == before and not list((project / "data").glob(".*"))


def to(target: Path, project: Path, name: str) -> subprocess.CompletedProcess[str]:
    """Run a stage whose output is `target`."""
    return stage(project, name, *(f"data/{path}" for path in STAGES[name][:-1]), str(target), check=False)


@pytest.mark.parametrize("name", STAGES)
def test_a_full_disk_is_one_sentence(project: Path, disk: Callable[[str], Path], name: str) -> None:
    folder = disk("size=16k")
    filler = folder / "filler"
    filler.write_bytes(b"x" * (16_384 if name == "finetune" else 4_096))  # without a method it writes a line
    done = to(folder / "out", project, name)
    assert done.returncode == 1, done.stderr
    assert re.fullmatch(
        r"error: the disk is full.*\(No space left on device\); free space and run again\n", done.stderr
    )
    assert list(folder.iterdir()) == [filler]


@pytest.mark.parametrize("name", STAGES)
def test_a_disk_that_cannot_be_written_is_one_sentence(project: Path, disk: Callable[[str], Path], name: str) -> None:
    done = to(disk("ro") / "out", project, name)
    assert done.returncode == 1, done.stderr
    assert re.fullmatch(r"error: access is denied at \S+ \(Read-only file system\); .+\n", done.stderr), done.stderr


BACKWARDS = """
import itertools, time
steps = itertools.count()
now = time.time()
time.time = lambda: now - 60 * next(steps)
time.time_ns = lambda: int(time.time() * 1e9)
"""


def test_a_clock_that_runs_backwards_changes_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock/sitecustomize.py").write_text(BACKWARDS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "clock"))
    lock = (project / "dvc.lock").read_bytes()
    for path in (project / "data").rglob("*"):
        os.utime(path, (4e9, 4e9))  # written in the year 2096
    run(project, "dvc", "repro", "--force", "--no-run-cache")
    assert (project / "dvc.lock").read_bytes() == lock


def test_a_plain_locale_and_a_path_of_any_letters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    project = make_project(tmp_path / "a proj\u00e9t \u65e5\u672c")
    lines = [
        f"texte numéro {number} {'été' if number % 2 else 'hiver'},{'été' if number % 2 else 'ひ'}"
        for number in range(80)
    ]
    (project / "data/les données.csv").write_text("\n".join(["text,classe é", *lines]) + "\n", "utf-8")
    set_params(project, **QUICK, prepare__data="data/les données.csv", prepare__label="classe é")
    locks = []
    for locale in ("C.UTF-8", "C", "POSIX"):
        monkeypatch.setenv("LC_ALL", locale)
        run(project, "dvc", "repro", "--force", "--no-run-cache")
        locks.append((project / "dvc.lock").read_bytes())
        (project / "data/neu é.csv").write_text("text\nun texte d'été\n", "utf-8")
        run(project, sys.executable, "-m", "stages.predict", "data/head", "data/neu é.csv", "data/prédit.parquet")
    assert locks[0] == locks[1] == locks[2]
