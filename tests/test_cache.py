"""The verb `cache`: what is kept between runs, listed and deleted."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

from stages.common import locks
from stages.evaluation import cached_results
from stages.extraction.row_cache import RowCache
from stages.finetuning import checkpoints
from tests.evaluation.feature_tables import table
from tests.projects import ROOT, contents, stage

RUN = f"checkpoints/{'0' * 32}"
RESULT = f"evaluations/{'0' * 32}.npz"
WEIGHTS = f"weights/{'0' * 64}.safetensors"
SPEED = f"speeds/{'5' * 32}.json"
DESCRIPTION = f"backbones/{'6' * 32}.json"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder with a row of a backbone, the checkpoint of a killed run, a result, weights, and two notes."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("HEADSTART_CACHE", str(folder))
    with RowCache("f" * 64, dim=4, dtype="float32", limit_bytes=10**9) as rows:
        rows.put(["0" * 32], np.ones((1, 4)))
    sizes = {f"{RUN}/step-1.safetensors": 3_000_000, RESULT: 400_000, WEIGHTS: 200_000, SPEED: 30, DESCRIPTION: 30}
    for file, size in sizes.items():
        (folder / file).parent.mkdir(parents=True)
        (folder / file).write_bytes(bytes(size))
    return folder


def run(*arguments: str) -> str:
    return stage(ROOT, "cache", *arguments).stdout


def test_it_lists_what_the_folder_holds(cache: Path) -> None:
    run()
    lines = run().splitlines()
    assert re.fullmatch(r"f{16} +1 row +0\.0 MB  last used [-\d]+ [:\d]+", lines[0])
    assert [line.split() for line in lines[1:5]] == [
        ["checkpoints", "1", "run", "3.0", "MB"],
        ["evaluations", "1", "result", "0.4", "MB"],
        ["weights", "1", "model", "0.2", "MB"],
        ["runs.jsonl", "1", "run", "0.0", "MB"],
    ]
    assert lines[5:] == [f"{cache}: 3.6 MB"]


def test_it_lists_a_folder_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "nowhere"))
    assert run().splitlines()[-1] == f"{tmp_path / 'nowhere'}: 0.0 MB"


def test_clear_deletes_all_but_the_log(cache: Path) -> None:
    run()
    done = run("--clear")
    assert done == (
        f"{cache}: 1 backbone, checkpoints of 1 run, 1 result of evaluations and weights of 1 model deleted, 3.6 MB\n"
    )
    assert {name for name, content in contents(cache).items() if content} == {"runs.jsonl"}
    assert not list((cache / "checkpoints").iterdir()) and not list((cache / "locks").iterdir())


def test_clear_leaves_what_another_process_uses(cache: Path) -> None:
    with (
        locks.held(cache / RUN),
        RowCache("f" * 64, dim=4, dtype="float32", limit_bytes=10**9) as rows,
    ):
        assert ": 0 backbones, checkpoints of 0 runs, 1 result" in run("--clear")
        assert rows.get(["0" * 32])[0].all()
        assert (cache / RUN).exists()
    assert ": 1 backbone, checkpoints of 1 run, 0 results" in run("--clear")


FOREIGN = (
    *("checkpoints/mine/weights", "checkpoints/notes.txt", f"checkpoints/{'f' * 32}.txt"),
    *("evaluations/mine.npz", f"evaluations/{'f' * 32}.npz.old", f"evaluations/{'f' * 33}.npz", "evaluations/x/y.npz"),
    *("locks/mine.lock", "locks/notes.txt", f"locks/{'f' * 32}.lock.old"),
    *("rows/mine.sqlite", "rows/notes.txt", f"rows/{'f' * 64}.sqlite.backup", f"rows/{'f' * 64}.txt"),
    *("weights/mine.safetensors", f"weights/{'f' * 32}.safetensors", f"weights/{'f' * 64}.pth"),
    *("mine/file", "notes.txt"),
)


@pytest.fixture
def foreign(cache: Path) -> dict[str, bytes]:
    """Old files of somebody else in every folder, and links to them that are named as ours; gives their content."""
    for name in FOREIGN:
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).write_bytes(b"precious")
    (cache / f"checkpoints/{'e' * 32}").symlink_to(cache / "mine")
    for name in (f"evaluations/{'e' * 32}.npz", f"locks/{'e' * 32}.lock", f"rows/{'e' * 64}.sqlite"):
        (cache / name).symlink_to(cache / "notes.txt")
    for path in [*cache.rglob("*"), *(cache / "checkpoints").iterdir()]:
        os.utime(path, (0, 0))
    return {name: content for name, content in contents(cache).items() if content == b"precious"}


def precious(cache: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents(cache).items() if content == b"precious"}


def test_clear_keeps_files_of_others(cache: Path, foreign: dict[str, bytes]) -> None:
    assert ": 1 backbone, checkpoints of 1 run, 1 result of evaluations" in run("--clear")
    assert precious(cache) == foreign
    assert run().splitlines()[0].split()[:3] == ["checkpoints", "0", "runs"]


def test_old_files_of_others_are_kept(cache: Path, foreign: dict[str, bytes]) -> None:
    with checkpoints.folder("1" * 32):
        pass
    rows = table(np.eye(3), ["a", "b", "a"])
    cached_results.result(rows, rows, {}, lambda: {"x": np.zeros(1)})
    with RowCache("e" * 63 + "1", dim=4, dtype="float32", limit_bytes=1000) as store:
        store.put(["0" * 32], np.ones((1, 4)))
    assert precious(cache) == foreign
    assert not (cache / RUN).exists() and not (cache / RESULT).exists(), "ours are deleted"


def test_old_files_in_use_are_kept(cache: Path, foreign: dict[str, bytes]) -> None:
    with locks.held(cache / RUN), checkpoints.folder("1" * 32):
        assert (cache / RUN).exists()


def test_the_limit_of_the_row_cache_counts_and_deletes_no_files_of_others(
    cache: Path, foreign: dict[str, bytes]
) -> None:
    with RowCache("a" * 64, dim=4, dtype="float32", limit_bytes=30_000) as rows:
        rows.put(["0" * 32], np.ones((1, 4)))
        assert rows.get(["0" * 32])[0].all()
    assert not (cache / f"rows/{'f' * 64}.sqlite").exists() and precious(cache) == foreign
