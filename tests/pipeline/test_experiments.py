"""A queue of experiments over backbones and heads, two at a time."""

import csv
import io
import json
import os
import re
import sys
import time
from pathlib import Path

import pytest

from tests.pipeline.faults import HANG_SECONDS
from tests.projects import git, make_project, make_tiny_encoder, run, set_params


@pytest.fixture
def ready(tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A committed project with two small backbones, and a row cache of its own."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    project = make_project(tmp_path / "project")
    for name in ("one", "two"):
        make_tiny_encoder(project / f"data/pretrained/{name}", seed={"one": 7, "two": 8}[name])
    set_params(
        project,
        backbone__name="data/pretrained/one",
        backbone__revision=None,
        extract__max_length=32,
        evaluate__learning_curve=[],
        evaluate__bootstrap=0,
        runtime__device="cpu",
    )
    git(project, "add", "-A")
    git(project, "commit", "-qm", "ready")
    return project


@pytest.mark.slow
def test_a_queue_of_backbones_and_heads_computes_nothing_twice(ready: Path) -> None:
    dvc = [sys.executable, "-m", "dvc"]
    queue = [*dvc, "exp", "run", "--queue", "-S", "backbone.name=data/pretrained/one,data/pretrained/two"]
    # Explanations would put the vectors of altered texts into the row cache.
    run(ready, *queue, "-S", "train_head.kind=logistic,ridge", "-S", "evaluate.explain=0")
    run(ready, *dvc, "queue", "start", "-j", "2")
    end = time.monotonic() + 10 * HANG_SECONDS  # for four pipelines
    while time.monotonic() < end:
        time.sleep(5)  # to ask takes a core longer than a second
        status = run(ready, *dvc, "queue", "status").stdout
        if not re.search("Queued|Running", status):
            break
    assert status.count("Success") == 4, status

    shown = csv.DictReader(io.StringIO(run(ready, *dvc, "exp", "show", "--csv").stdout))
    rows = [row for row in shown if row["rev"] != "workspace" and row["backbone.name"] and row["typ"] != "baseline"]
    tried = {(row["backbone.name"][-3:], row["train_head.kind"]) for row in rows}
    assert tried == {("one", "logistic"), ("one", "ridge"), ("two", "logistic"), ("two", "ridge")}
    log = [
        json.loads(line)
        for line in (Path(os.environ["HEADSTART_CACHE"]) / "runs.jsonl").read_text("utf-8").splitlines()
    ]
    assert {line["exit"] for line in log} == {0}
    info = run(ready, sys.executable, "-m", "stages.cache").stdout
    assert [int(line.split()[1]) for line in info.splitlines() if " rows " in line] == [800, 800]
