"""A team that shares artifacts: two clones and a remote, over real servers."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.conftest import copy
from tests.dvc_here import dvc
from tests.pipeline import servers
from tests.projects import Done, ran, run, set_params


@dataclass(frozen=True)
class Clone:
    """A clone of one member of the team, with a cache of its own."""

    folder: Path
    remote: servers.Remote

    def run(self, *command: str, check: bool = True) -> Done:
        """Run a command in the clone."""
        with self._environment():
            return run(self.folder, *command, check=check)

    def dvc(self, *command: str) -> Done:
        """Run DVC and its stages in the clone, in this process."""
        with self._environment():
            return dvc(self.folder, *command)

    @contextmanager
    def _environment(self) -> Iterator[None]:
        """Set what the commands need that use the remote."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.remote.environment.items():
                patch.setenv(name, value)
            yield

    def pull(self, *outputs: str, check: bool = True) -> Done:
        return self.run(sys.executable, "-m", "stages.pull", *outputs, check=check)

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", message)

    def cached(self) -> set[str]:
        """The hashes of all that is in the clone's cache."""
        files = self.folder / ".dvc/cache/files/md5"
        return {"".join(path.parts[-2:]) for path in files.rglob("*") if path.is_file()}


@dataclass(frozen=True)
class Team:
    """A bare Git repository, a remote for artifacts, and clones."""

    origin: Path
    remote: servers.Remote

    def clone(self, folder: Path) -> Clone:
        subprocess.run(["git", "clone", "-q", self.origin, folder], check=True)
        return self.with_access(folder)

    def with_access(self, folder: Path) -> Clone:
        """Set up a member: a name for Git, and the way to the server of the remote."""
        member = Clone(folder, self.remote)
        member.run("git", "config", "user.name", "t")
        member.run("git", "config", "user.email", "t@example.org")
        for name, value in self.remote.local.items():
            member.dvc("remote", "modify", "--local", "storage", name, value)
        return member


@pytest.fixture(
    scope="module",
    params=["directory", pytest.param("ssh", marks=pytest.mark.slow), pytest.param("s3", marks=pytest.mark.slow)],
)
def team(request: pytest.FixtureRequest, reproduced: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """The project pushed: its history to the bare repository, its artifacts to the remote."""
    folder = tmp_path_factory.mktemp(request.param)
    with getattr(servers, request.param)(folder / "server") as remote:
        origin = folder / "origin.git"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", origin], check=True)
        first = Clone(copy(reproduced, folder / "first"), remote)
        first.dvc("remote", "add", "-d", "storage", remote.url)
        first.dvc("remote", "modify", "storage", "verify", "true")
        team = Team(origin, remote)
        team.with_access(first.folder)
        first.run("git", "checkout", "-qb", "main")
        first.commit("reproduced")
        first.dvc("push", "-q")
        first.run("git", "remote", "add", "origin", str(origin))
        first.run("git", "push", "-q", "origin", "main")
        yield team


def hash_of(clone: Clone, stage: str, path: str) -> str:
    """The hash of an output, as dvc.lock has it."""
    lock = yaml.safe_load((clone.folder / "dvc.lock").read_text("utf-8"))
    (md5,) = [out["md5"] for out in lock["stages"][stage]["outs"] if out["path"] == path]
    return str(md5)


def test_a_clone_that_pulls_runs_nothing(team: Team, tmp_path: Path) -> None:
    second = team.clone(tmp_path / "second")
    second.pull()
    done = second.dvc("repro")
    assert "Running stage" not in done.stdout and "Data and pipelines are up to date." in done.stdout
    assert second.run("git", "status", "--short").stdout == ""
    for path in ("data/head/head.skops", "data/evaluation/report.html"):
        assert (second.folder / path).exists()


def test_a_change_pulls_only_what_it_needs(team: Team, tmp_path: Path) -> None:
    second = team.clone(tmp_path / "second")
    set_params(second.folder, train_head__C=[3])
    replaced = {hash_of(second, "train_head", "data/head")}
    second.pull("data/prepared", "data/features")
    done = second.dvc("repro", "--allow-missing")
    assert ran(done) == ["train_head", "finetune", "evaluate"], done.stdout
    assert not replaced & second.cached(), "the head that is replaced was not pulled"


def test_experiments_go_from_clone_to_clone(team: Team, tmp_path: Path) -> None:
    one, two = (team.clone(tmp_path / name) for name in ("one", "two"))
    for clone, name, value in ((one, "first-try", "3"), (two, "second-try", "7")):
        clone.pull()
        clone.dvc("exp", "run", "-q", "-n", name, "-S", f"train_head.C=[{value}]")
        clone.dvc("exp", "push", "-q", "origin", name)
    for clone, name in ((one, "second-try"), (two, "first-try")):
        clone.dvc("exp", "pull", "-q", "--no-cache", "origin", name)
        shown = clone.dvc("exp", "show", "--csv").stdout
        assert "first-try" in shown and "second-try" in shown
    one.run("git", "checkout", "-q", "--", ".")
    one.dvc("exp", "branch", "-q", "second-try", "second")
    one.run("git", "switch", "-q", "second")
    one.pull()
    assert "Running stage" not in one.dvc("repro").stdout
    assert yaml.safe_load((one.folder / "params.yaml").read_text("utf-8"))["train_head"]["C"] == [7]


def test_a_damaged_object_is_named_and_never_used(team: Team, tmp_path: Path) -> None:
    """Last, since it leaves the remote damaged."""
    second = team.clone(tmp_path / "second")
    lock = yaml.safe_load((second.folder / "dvc.lock").read_text("utf-8"))
    (damaged,) = [
        out["md5"] for out in lock["stages"]["evaluate"]["outs"] if out["path"].endswith("predictions.parquet")
    ]
    team.remote.damage(damaged)
    done = second.pull(check=False)
    assert done.returncode == 1
    assert damaged in done.stderr and "data/evaluation/predictions.parquet" in done.stderr, done.stderr
    assert damaged not in second.cached() and not (second.folder / "data/evaluation/predictions.parquet").exists()
    done = second.run(sys.executable, "-m", "stages.gate", "origin/main", check=False)
    assert done.returncode == 1, "nothing to judge in the workspace"
