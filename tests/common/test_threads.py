"""Threads that share the cores with others."""

import os
import sys
from pathlib import Path

import pytest

from stages.common import threads
from tests.projects import ROOT, run

SETTINGS = ("OMP_WAIT_POLICY", "OMP_NUM_THREADS")
ALL = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.fixture(autouse=True)
def limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a container's limit, which is not there."""
    for name in SETTINGS:
        monkeypatch.setenv(name, "")  # so that the variable is as it was when the test ends
        monkeypatch.delenv(name)
    monkeypatch.setattr(threads, "CPU_LIMIT", tmp_path / "cpu.max")
    return tmp_path / "cpu.max"


@pytest.mark.parametrize(
    ("content", "cores"),
    [("max 100000\n", ALL), ("50000 100000\n", 1), ("100000 100000\n", 1), ("99900000 100000\n", ALL), ("", ALL)],
)
def test_cores_are_those_that_a_container_may_use(limit: Path, content: str, cores: int) -> None:
    limit.write_text(content, "ascii")
    assert threads.cores() == cores


def test_waiting_threads_sleep_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    threads.share()
    assert [os.environ.get(name) for name in SETTINGS] == ["PASSIVE", None]
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    threads.share()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_a_limit_of_the_container_is_one_of_openmp(limit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit.write_text("150000 100000", "ascii")
    threads.share()
    assert os.environ["OMP_NUM_THREADS"] == str(min(2, ALL or 1))
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    threads.share()
    assert os.environ["OMP_NUM_THREADS"] == "3"


def test_a_verb_shares_before_it_imports_a_network() -> None:
    code = "import sys; from stages.common import cli; from stages import extract; "
    code += "cli.run(lambda: print(__import__('os').environ['OMP_WAIT_POLICY'], 'torch' in sys.modules))"
    assert run(ROOT, sys.executable, "-c", code).stdout == "PASSIVE False\n"
