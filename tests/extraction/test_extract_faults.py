"""Extraction that is killed, runs beside others, or meets a damaged cache or a full disk."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.extraction import row_cache_files
from stages.tables import prepared
from tests.extraction.grown_tables import from_cache, table, use_rows
from tests.projects import MINILM, ROOT, Verb, contents, set_params

# Runs extract with windows of 16 rows, and writes down how many rows were computed, as they are.
OBSERVED = """
import pathlib, sys
from stages import extract
from stages.common import cli
from stages.tables import prepared
from stages.backbones import light_text
from stages.backbones.encoder import Encoder
prepared.WINDOW_ROWS["text"] = 16
log, stream = open(sys.argv.pop(1), "a"), Encoder.stream
def observed(self, inputs):
    for encoded in stream(self, inputs):
        if inputs is not light_text.TEXTS:  # by which a network is measured
            log.write(f"{len(encoded.positions)}\\n"); log.flush()
        yield encoded
Encoder.stream = observed
cli.run(extract.main)
"""


def test_a_damaged_cache_is_reported_and_rebuilt(
    project: Path, verb: Verb, reviews: list[list[str]], tiny_encoder: Path, store: Path
) -> None:
    use_rows(project, verb, reviews[:60], str(tiny_encoder))
    verb("extract")
    first = table(project)
    (path,) = store.glob("*.sqlite")
    content = bytearray(path.read_bytes())
    for start in range(len(content) // 3, len(content), 300):
        content[start] ^= 0xFF
    path.write_bytes(content)
    done = verb("extract")
    assert f"warning: the row cache {path} is damaged" in done.stderr
    assert from_cache(done)[1] < 60
    assert table(project) == first


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_parallel_runs_compute_nothing_twice(
    project: Path, verb: Verb, reviews: list[list[str]], tiny_encoder: Path, count: int
) -> None:
    use_rows(project, verb, reviews, str(tiny_encoder))
    command = [sys.executable, "-m", "stages.extract", "data/prepared"]
    runs = [
        subprocess.Popen(
            [*command, f"data/run{number}"], cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for number in range(count)
    ]
    computed = 0
    for process in runs:
        out, errors = process.communicate()
        assert process.returncode == 0 and "warning" not in errors, errors
        total, cached = from_cache(subprocess.CompletedProcess([], 0, out))
        computed += total - cached
    assert computed == 800
    assert sum(rows for _, rows, _, _ in row_cache_files.info()) == 800
    tables = [contents(project / f"data/run{number}") for number in range(count)]
    assert all(files == tables[0] for files in tables) and len(tables[0]) == len((*prepared.TABLES, prepared.LEARNING))


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(
    project: Path, verb: Verb, reviews: list[list[str]], tiny_encoder: Path
) -> None:
    use_rows(project, verb, reviews[:300], str(tiny_encoder))
    verb("extract")
    whole = table(project)
    verb("cache", "--clear")

    resource = pytest.importorskip("resource", reason="only POSIX systems limit the size of files")

    def no_space() -> None:  # files stop growing: what a full disk does to a writer, on any machine
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    command = [sys.executable, "-m", "stages.extract", "data/prepared", "data/features"]
    done = subprocess.run(command, check=False, cwd=project, capture_output=True, text=True, preexec_fn=no_space)
    assert done.returncode == 1
    assert re.fullmatch(r"error: the row cache \S+ cannot be used \(.+\); free space on its disk, .+\n", done.stderr)
    assert table(project) == whole
    assert from_cache(verb("extract"))[0] == 300
    assert table(project) == whole


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_a_killed_extraction_resumes_where_it_stopped(
    project: Path, verb: Verb, reviews: list[list[str]], tmp_path: Path, kills: int
) -> None:
    """Kills at random moments: the table is that of a run without them, and each cost at most one window."""
    rows = reviews[:400]
    use_rows(project, verb, rows, MINILM)
    command = [sys.executable, "-c", OBSERVED, str(tmp_path / "log"), "data/prepared", "data/features"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    chance = random.Random(0)
    killed = 0
    for _ in range(kills):
        process = subprocess.Popen(command, cwd=project, env=environment, stderr=subprocess.DEVNULL)
        at_start = _lines(tmp_path / "log")
        batches = chance.randint(1, 30)  # of this run, which dies somewhere in the next one or in writing
        while process.poll() is None and _lines(tmp_path / "log") < at_start + batches:
            time.sleep(0.001)
        process.kill()
        killed += process.wait() != 0
        assert not (project / "data/features").exists()
    assert killed == kills
    last = subprocess.run(command, check=True, cwd=project, env=environment, capture_output=True, text=True)
    assert 0 < from_cache(last)[1] < 400
    computed = sum(map(int, (tmp_path / "log").read_text("utf-8").split()))
    assert computed <= 400 + kills * 16
    resumed = table(project)
    set_params(project, runtime__row_cache=False)
    verb("extract")
    assert table(project) == resumed


def _lines(path: Path) -> int:
    return path.read_text("utf-8").count("\n") if path.exists() else 0
