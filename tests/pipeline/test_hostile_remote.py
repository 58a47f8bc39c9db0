"""Somebody who may write the remote, and means harm, gets no file out of the outputs and no code run."""

import hashlib
import json
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.conftest import Once, copy
from tests.dvc_here import dvc
from tests.projects import Done, git, ran, run, set_params, stage

EVIL = b"raise SystemExit('evil ran')\n"


@dataclass(frozen=True)
class Team:
    """A project whose outputs are in a remote that anybody may write, and a clone of it without outputs."""

    store: Path
    clone: Path

    def pull(self, *outputs: str, check: bool = False) -> Done:
        return stage(self.clone, "pull", *outputs, check=check)

    def path(self, key: str) -> Path:
        """Where the remote keeps an object."""
        return self.store / "files/md5" / key[:2] / key[2:]

    def write(self, content: bytes, key: str = "") -> str:
        """Put an object into the remote, under its hash unless another key is given; give the key."""
        key = key or hashlib.md5(content).hexdigest()
        path = self.path(key)
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        return key

    def key(self, output: str) -> str:
        """The hash of an output in dvc.lock."""
        return next(out["md5"] for out in self.outputs() if out["path"] == output)

    def outputs(self) -> list[dict[str, str]]:
        lock = yaml.safe_load((self.clone / "dvc.lock").read_text("utf-8"))
        return [out for stage in lock["stages"].values() for out in stage["outs"]]

    def list_in(self, folder: str, relpath: str) -> None:
        """Change the remote's list of the files in a folder: one more, with another's content."""
        entries = json.loads(self.path(self.key(folder)).read_bytes())
        entries.append({"md5": self.write(EVIL), "relpath": relpath})
        self.write(json.dumps(entries).encode(), self.key(folder))

    def changed(self) -> list[str]:
        """What Git sees in the clone."""
        return git(self.clone, "status", "--short").splitlines()


def make_shared(folder: Path, reproduced: Path) -> None:
    """A project whose outputs and run cache were pushed to the folder `store` beside it."""
    project = copy(reproduced, folder / "project")
    dvc(project, "remote", "add", "-q", "-d", "storage", "../store")
    dvc(project, "remote", "modify", "storage", "verify", "true")
    dvc(project, "push", "-q", "--run-cache")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "reproduced")


@pytest.fixture
def team(tmp_path: Path, once: Once, reproduced: Path) -> Team:
    made = once("shared", lambda folder: make_shared(folder, reproduced))
    shutil.copytree(made / "store", tmp_path / "store")
    git(tmp_path, "clone", "-q", str(made / "project"), str(tmp_path / "clone"))
    return Team(tmp_path / "store", tmp_path / "clone")


OUTSIDE = ["../../argparse.py", "../../stages/prepare.py", "../../.git/hooks/post-checkout", "../../../outside.py"]


@pytest.mark.parametrize("relpath", OUTSIDE)
def test_a_list_of_files_that_leave_their_folder_is_refused(team: Team, relpath: str) -> None:
    target = team.clone / "data/head" / relpath
    before = target.read_bytes() if target.exists() else None
    team.list_in("data/head", relpath)
    done = team.pull()
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "data/head" in done.stderr and "data/features" not in done.stderr
    assert (target.read_bytes() if target.exists() else None) == before
    assert team.changed() == [] and not (team.clone / "data/head").exists()
    assert any((team.clone / "data/features").iterdir()), "the others are there"


def test_one_more_file_in_a_folder_is_refused(team: Team) -> None:
    team.list_in("data/head", "more.py")
    assert "data/head" in team.pull().stderr
    assert not (team.clone / "data/head").exists()


def test_dvc_pull_itself_believes_such_a_list(team: Team) -> None:
    """The reason for a verb of our own; should this fail with a newer DVC, the verb may go."""
    team.list_in("data/head", "../../argparse.py")
    dvc(team.clone, "pull", "-q", check=False)
    assert (team.clone / "argparse.py").read_bytes() == EVIL


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'[{"relpath": "x"}]', b"\xff", b"[" * 100_000])
def test_a_list_that_is_none_is_refused(team: Team, content: bytes) -> None:
    team.write(content, team.key("data/head"))
    done = team.pull()
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "data/head" in done.stderr
    assert not (team.clone / "data/head").exists()


def test_other_content_under_a_hash_is_refused(team: Team) -> None:
    report = team.key("data/evaluation/report.html")
    team.write(b"<script>steal()</script>", report)
    done = team.pull()
    assert done.returncode == 1 and "data/evaluation/report.html" in done.stderr
    assert not (team.clone / "data/evaluation/report.html").exists()
    assert (team.clone / "data/head/head.skops").exists(), "the others are there"


def test_other_content_is_refused_where_nobody_set_verify(team: Team) -> None:
    dvc(team.clone, "remote", "modify", "storage", "verify", "false")
    (file,) = [entry for entry in json.loads(team.path(team.key("data/head")).read_bytes()) if "skops" in str(entry)]
    team.write(EVIL, file["md5"])
    assert "data/head" in team.pull().stderr
    assert not (team.clone / "data/head").exists()


def test_the_gate_judges_by_no_other_predictions(team: Team) -> None:
    team.pull(check=True)
    predictions = "data/evaluation/predictions.parquet"
    shutil.rmtree(team.clone / ".dvc/cache")
    table = pq.read_table(team.clone / predictions)
    pq.write_table(table.take(list(range(table.num_rows // 2))), team.store / "other")
    assert stage(team.clone, "gate", "HEAD").returncode == 0
    team.write((team.store / "other").read_bytes(), team.key(predictions))
    done = stage(team.clone, "gate", "HEAD", check=False)
    assert done.returncode == 1 and predictions in done.stderr and "hash" in done.stderr, done.stdout


def test_a_list_that_an_earlier_pull_believed_is_refused(team: Team) -> None:
    dvc(team.clone, "remote", "modify", "storage", "verify", "false")
    team.list_in("data/head", "more.py")
    dvc(team.clone, "fetch", "-q")
    assert "data/head" in team.pull().stderr
    assert not (team.clone / "data/head").exists()


def test_a_pulled_project_is_up_to_date(team: Team) -> None:
    done = team.pull(check=True)
    assert "pull: 11 of 11 outputs in place" in done.stdout and ", 0 files" not in done.stdout
    assert ran(dvc(team.clone, "repro")) == [] and team.changed() == []
    again = team.pull(check=True)
    assert "11 of 11 outputs in place, 0 files from the remote" in again.stdout


def test_only_the_outputs_that_are_asked_for_come(team: Team) -> None:
    team.pull("data/head", "data/evaluation", check=True)
    assert sorted(path.name for path in (team.clone / "data").iterdir() if path.is_dir()) == [
        "evaluation",
        "head",
        "pretrained",
    ]
    done = team.pull("data/haed")
    assert done.returncode == 1 and "did you mean data/head?" in done.stderr


def test_changes_in_the_workspace_are_kept(team: Team) -> None:
    team.pull(check=True)
    model = team.clone / "data/head/model.json"
    model.unlink()
    model.write_text("mine", "utf-8")
    done = team.pull()
    assert done.returncode == 1 and "data/head (it has changes here" in done.stderr
    assert model.read_text("utf-8") == "mine"


def test_without_a_remote_one_sentence_says_what_is_missing(team: Team) -> None:
    dvc(team.clone, "remote", "remove", "storage")
    done = team.pull()
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and done.stderr.count("dvc remote add") == 1


def test_a_remote_that_cannot_be_reached_is_one_sentence(team: Team) -> None:
    dvc(team.clone, "remote", "modify", "storage", "url", "ssh://127.0.0.1:9/store")
    done = team.pull()
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.count("the remote cannot be read") == 1, "not once for every output"


def test_what_was_never_pushed_is_named(team: Team) -> None:
    report = "data/evaluation/report.html"
    team.path(team.key(report)).unlink()
    done = team.pull()
    assert f"{report} (the remote lacks its hash {team.key(report)})" in done.stderr
    assert "10 of 11 outputs in place" in done.stdout


def poison(folder: Path, stage_name: str, path: str, key: str) -> None:
    """Let the entries of a stage in a run cache name one more output."""
    for entry in (folder / "runs").rglob("*"):
        if entry.is_file() and f"stages.{stage_name}" in entry.read_text("utf-8"):
            content = yaml.safe_load(entry.read_text("utf-8"))
            content["outs"].append({"path": path, "hash": "md5", "md5": key, "size": len(EVIL)})
            entry.write_text(yaml.safe_dump(content), "utf-8")


def test_an_output_that_the_run_cache_adds_is_not_written(team: Team) -> None:
    poison(team.store, "prepare", "argparse.py", team.write(EVIL))
    (team.clone / "dvc.lock").unlink()
    team.pull()
    done = dvc(team.clone, "repro")
    assert ran(done) == ["prepare", "extract", "train_head", "finetune", "evaluate"]
    assert team.changed() == [], "computed anew, with the same dvc.lock"


def test_dvc_itself_would_write_that_output(team: Team) -> None:
    """The reason why recipes and workflows do without `--pull` and `--run-cache`."""
    poison(team.store, "prepare", "argparse.py", team.write(EVIL))
    (team.clone / "dvc.lock").unlink()
    dvc(team.clone, "repro", "--pull", "prepare")
    assert (team.clone / "argparse.py").read_bytes() == EVIL


def modules() -> list[str]:
    """Names of libraries: of Python and of all that is installed here."""
    names = {*sys.stdlib_module_names, *packages_distributions()} - {*sys.builtin_module_names, "stages"}
    return sorted(name for name in names if name.isidentifier())


def test_files_in_the_project_do_not_replace_libraries(team: Team) -> None:
    for name in modules():
        (team.clone / f"{name}.py").write_bytes(EVIL)
    set_params(team.clone, prepare__max_rejected=0.02)
    done = run(team.clone, "dvc", "repro", check=False)
    assert done.returncode == 0 and "evil ran" not in done.stderr, done.stderr
    assert len(ran(done)) == 5
    for name in ("predict", "gate", "cache", "pull", "fetch"):
        help_of = run(team.clone, sys.executable, "-m", f"stages.{name}", "--help", check=False)
        assert help_of.returncode == 0, help_of.stderr
