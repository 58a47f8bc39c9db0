"""Odd clocks, locales and paths."""

import os
from pathlib import Path

import pytest

from tests.pipeline.faults import run
from tests.projects import QUICK, make_project, set_params, stage_process

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


def reproduced_in(locale: str, folder: Path) -> bytes:
    """dvc.lock of a project whose settings, paths and data have letters of several scripts."""
    project = make_project(folder / "a proj\u00e9t \u65e5\u672c")
    lines = [
        f"texte numéro {number} {'été' if number % 2 else 'hiver'},{'été' if number % 2 else 'ひ'}"
        for number in range(80)
    ]
    (project / "data/les données.csv").write_text("\n".join(["text,classe é", *lines]) + "\n", "utf-8")
    (project / "data/neu é.csv").write_text("text\nun texte d'été\n", "utf-8")
    set_params(project, **QUICK, prepare__data="data/les données.csv", prepare__label="classe é")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LC_ALL", locale)
        run(project, "dvc", "repro")
        stage_process(project, "predict", "data/head", "data/neu é.csv", "data/prédit.parquet")
    return (project / "dvc.lock").read_bytes()


@pytest.fixture(scope="module")
def lock(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """dvc.lock of a run in a locale of UTF-8."""
    return reproduced_in("C.UTF-8", tmp_path_factory.mktemp("utf-8"))


@pytest.mark.parametrize("locale", ["C", pytest.param("POSIX", marks=pytest.mark.slow)])
def test_a_plain_locale_changes_nothing_on_paths_of_any_letters(locale: str, lock: bytes, tmp_path: Path) -> None:
    assert reproduced_in(locale, tmp_path) == lock
