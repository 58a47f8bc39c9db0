"""The verb `cache`: what is kept between runs, listed and deleted."""

import re
from pathlib import Path

import numpy as np
import pytest

from stages.common import locks
from stages.extraction.row_cache import RowCache
from tests.projects import ROOT, contents, stage


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder with one row of one backbone, the checkpoint of a killed run and one result."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("HEADSTART_CACHE", str(folder))
    with RowCache("f" * 64, dim=4, dtype="float32", limit_bytes=10**9) as rows:
        rows.put(["0" * 32], np.ones((1, 4)))
    for file, size in (("checkpoints/run/checkpoint-1/weights", 3_000_000), ("evaluations/result.npz", 400_000)):
        (folder / file).parent.mkdir(parents=True)
        (folder / file).write_bytes(bytes(size))
    return folder


def run(*arguments: str) -> str:
    return stage(ROOT, "cache", *arguments).stdout


def test_it_lists_what_the_folder_holds(cache: Path) -> None:
    run()
    lines = run().splitlines()
    assert re.fullmatch(r"f{16} +1 rows +0\.0 MB  last used [-\d]+ [:\d]+", lines[0])
    assert [line.split() for line in lines[1:4]] == [
        ["checkpoints", "1", "runs", "3.0", "MB"],
        ["evaluations", "1", "results", "0.4", "MB"],
        ["runs.jsonl", "1", "runs", "0.0", "MB"],
    ]
    assert lines[4:] == [f"{cache}: 3.4 MB"]


def test_it_lists_a_folder_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "nowhere"))
    assert run().splitlines()[-1] == f"{tmp_path / 'nowhere'}: 0.0 MB"


def test_clear_deletes_all_but_the_log(cache: Path) -> None:
    run()
    done = run("--clear")
    assert done == f"{cache}: 1 backbones, checkpoints of 1 runs and 1 results of evaluations deleted, 3.4 MB\n"
    assert {name for name, content in contents(cache).items() if content} == {"runs.jsonl"}
    assert not list((cache / "checkpoints").iterdir()) and not list((cache / "locks").iterdir())


def test_clear_leaves_what_another_process_uses(cache: Path) -> None:
    with (
        locks.held(cache / "checkpoints/run"),
        RowCache("f" * 64, dim=4, dtype="float32", limit_bytes=10**9) as rows,
    ):
        assert ": 0 backbones, checkpoints of 0 runs and 1 results" in run("--clear")
        assert rows.get(["0" * 32])[0].all()
        assert (cache / "checkpoints/run").exists()
    assert ": 1 backbones, checkpoints of 1 runs and 0 results" in run("--clear")
