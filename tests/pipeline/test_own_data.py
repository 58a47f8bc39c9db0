"""Own data as the README tells: tracked, then experiments in a copy, an earlier model, less on disk, and a clone."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.dvc_here import dvc
from tests.projects import QUICK, ROOT, git, make_project, run, set_params, stage

README = (ROOT / "README.md").read_text("utf-8")


def tracking() -> list[list[str]]:
    """The commands of the README's block that tracks data/mine.csv."""
    block = next(block for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) if "data/mine.csv" in block)
    return [shlex.split(line, comments=True) for line in block.splitlines()]


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose own table was run and tracked by the commands of the README."""
    project = make_project(tmp_path_factory.mktemp("mine") / "project")
    for name, value in (("user.name", "t"), ("user.email", "t@example.org")):
        git(project, "config", name, value)
    shutil.copy(project / "data/reviews.csv", project / "data/mine.csv")
    set_params(project, **QUICK, prepare__data="data/mine.csv")
    dvc(project, "repro")
    for command in tracking():
        dvc(project, *command[1:]) if command[0] == "dvc" else run(project, *command)
    assert git(project, "status", "--short") == ""
    return project


@pytest.mark.slow
def test_an_experiment_in_a_copy_has_the_data(mine: Path) -> None:
    run(mine, "dvc", "exp", "run", "--temp", "-S", "train_head.kind=ridge")
    [name] = dvc(mine, "exp", "list", "--name-only").stdout.split()
    assert "gate: passed" in stage(mine, "gate", name).stdout


@pytest.mark.slow
def test_an_earlier_model_comes_back_even_after_gc(mine: Path) -> None:
    head, commit = (mine / "data/head/head.skops").read_bytes(), git(mine, "rev-parse", "HEAD").strip()
    git(mine, "switch", "-qc", "later")
    lock = (mine / "dvc.lock").read_text("utf-8")
    (mine / "dvc.lock").write_text(re.sub("md5: [0-9a-f]{32}.dir", f"md5: {32 * 'a'}.dir", lock), "utf-8")
    git(mine, "commit", "-qam", "outputs that are not on this machine, as in most commits of a clone")
    (mine / "dvc.lock").write_text(lock, "utf-8")
    dvc(mine, "exp", "run", "-S", "train_head.C=[0.5]")
    git(mine, "commit", "-qam", "another head")
    [gc] = re.findall(r"`dvc (gc [^`]+)`", README)
    dvc(mine, *gc.split(), "--force")
    assert (mine / "data/head/head.skops").read_bytes() != head
    git(mine, "checkout", "-q", commit)
    dvc(mine, "checkout")
    assert (mine / "data/head/head.skops").read_bytes() == head


@pytest.mark.slow
def test_a_clone_without_a_remote_has_a_table_that_is_in_git(mine: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(mine, "clone", "-q", ".", str(clone))
    lacks = dvc(clone, "repro", check=False)
    assert lacks.returncode and "data/mine.csv" in lacks.stderr
    (clone / "data/mine.csv.dvc").unlink()
    (clone / "data/.gitignore").unlink()
    shutil.copy(mine / "data/mine.csv", clone / "data/mine.csv")
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "the table in Git")
    git(clone, "clone", "-q", ".", str(tmp_path / "other"))
    dvc(tmp_path / "other", "repro", "prepare")
