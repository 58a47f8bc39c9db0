"""Cache folders that cannot be used: results as ever, or one sentence."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import copy
from tests.projects import LINUX, STAGES, Done, keep_rows, run_stages, set_params, stage

FOLDERS: dict[str, Callable[[Path], str]] = {
    "a file": lambda at: str(write(at / "file")),
    "a path below a file": lambda at: str(write(at / "file") / "cache"),
    "the home of a user that there is not": lambda at: "~nobody-like-this/cache",
    "a folder that cannot be made": lambda at: "/proc/none/cache",
    "a name that is too long": lambda at: str(at / ("x" * 300)),
    "a link in a circle": lambda at: str(circle(at / "circle") / "cache"),
}


def write(path: Path) -> Path:
    path.write_text("mine", "utf-8")
    return path


def circle(path: Path) -> Path:
    path.symlink_to(path)
    return path


@pytest.fixture(scope="module")
def done_before(reproduced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = copy(reproduced, tmp_path_factory.mktemp("cache") / "project")
    keep_rows(project, 200)
    return run_stages(project)


def check(done: Done) -> None:
    lines = [line for line in done.stderr.splitlines() if line.startswith(("error:", "Traceback"))]
    if done.returncode:
        assert done.returncode == 1 and len(lines) == 1 and lines[0].startswith("error: "), done.stderr
        assert "HEADSTART_CACHE" in lines[0], lines[0]
    else:
        assert not lines, done.stderr


@pytest.fixture(params=[*FOLDERS, "no home"])
def unusable(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param in FOLDERS:
        monkeypatch.setenv("HEADSTART_CACHE", FOLDERS[request.param](tmp_path))
        return

    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("HEADSTART_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", home)


@LINUX
@pytest.mark.usefixtures("unusable")
@pytest.mark.parametrize("name", [*STAGES, "cache", "predict", "gate"])
def test_every_verb_works_or_says_what_to_set(done_before: Path, tmp_path: Path, name: str) -> None:
    arguments = {
        "predict": ["data/head", "data/reviews.csv", str(tmp_path / "out.parquet")],
        "gate": ["data/evaluation"],
    }.get(name, [])
    check(stage(done_before, name, *arguments, check=False))


@LINUX
def test_the_row_cache_and_checkpoints_too(trained: Path, unusable: None) -> None:
    set_params(trained, finetune__method="last_block", finetune__epochs=1)
    for name in ("extract", "finetune"):
        check(stage(trained, name, check=False))
