"""Odd clocks, locales and paths."""

import os
import sys
from pathlib import Path

import pytest

from tests.pipeline.faults import run
from tests.projects import QUICK, make_project, set_params

BACKWARDS = """
import itertools, time
steps = itertools.count()
now = time.time()
time.time = lambda: now - 60 * next(steps)
time.time_ns = lambda: int(time.time() * 1e9)
"""


def test_a_clock_that_runs_backwards_changes_nothing(
    finished: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock/sitecustomize.py").write_text(BACKWARDS, "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "clock"))
    lock = (finished / "dvc.lock").read_bytes()
    for path in (finished / "data").rglob("*"):
        os.utime(path, (4e9, 4e9))  # written in the year 2096
    run(finished, "dvc", "repro", "--force", "--no-run-cache")
    assert (finished / "dvc.lock").read_bytes() == lock


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
