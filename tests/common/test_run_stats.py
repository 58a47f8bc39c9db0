import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.projects import ROOT, run


def test_every_run_is_logged_outside_of_its_outputs(project: Path) -> None:
    log = Path(os.environ["HEADSTART_CACHE"]) / "runs.jsonl"
    before = len(log.read_text("utf-8").splitlines()) if log.exists() else 0
    done = run(project, sys.executable, "-m", "stages.prepare", "data/prepared")
    seconds, memory = map(float, re.findall(r"in ([\d.]+) s, ([\d.]+) GB$", done.stdout.strip())[0])
    run(project, sys.executable, "-m", "stages.extract", "data/nowhere", "data/features", check=False)
    first, second = map(json.loads, log.read_text("utf-8").splitlines()[before:])
    assert (first["verb"], first["exit"], first["folder"]) == ("prepare", 0, str(project))
    assert 0 < first["processor_seconds"] <= first["seconds"] * first["cores"]
    assert first["seconds"] >= seconds - 0.05 > 0 and first["peak_memory_gb"] == pytest.approx(memory, abs=0.05)
    assert (second["verb"], second["exit"]) == ("extract", 1)
    assert not list(project.rglob("runs.jsonl"))


def test_peak_memory_is_of_this_program_and_not_of_what_started_it() -> None:
    code = "from stages.common import run_stats; held = bytearray(200_000_000); print(run_stats.peak_memory())"
    large = bytearray(600_000_000)  # this process is larger than what it starts
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 200_000_000 < int(done.stdout) < 400_000_000 < len(large)


def test_a_log_that_cannot_be_written_stops_nothing(project: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    environment = {**os.environ, "HEADSTART_CACHE": str(tmp_path / "file")}
    command = [sys.executable, "-m", "stages.prepare", "data/prepared"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr.count("Error")
