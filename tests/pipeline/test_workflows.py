"""The workflows that users copy: valid, careful with secrets, and every line of their shell runs."""

import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.projects import NO_HUB, QUICK, ROOT, git, make_project, set_params

GITHUB = ROOT / ".github/workflows"
GITLAB = ROOT / ".gitlab-ci.yml"
SECRET = "sesame-open-1234"


def workflow(name: str) -> dict[str, Any]:
    content = yaml.safe_load((GITHUB / f"{name}.yml").read_text("utf-8"))
    assert isinstance(content, dict)
    return content


@pytest.mark.parametrize(
    ("schema", "paths"), [("github-workflows", sorted(GITHUB.glob("*.yml"))), ("gitlab-ci", [GITLAB])]
)
def test_they_follow_the_schemas(schema: str, paths: list[Path]) -> None:
    command = [Path(sys.executable).parent / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and paths, done.stdout


@pytest.mark.parametrize("name", ["headstart", "project"])
def test_rights_are_the_least_and_a_fork_can_steal_nothing(name: str) -> None:
    content = workflow(name)
    assert content["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in content[True], (
        "it would run a fork's code with secrets"
    )  # YAML reads on as true
    for job in content["jobs"].values():
        uses = [step.get("uses", "") for step in job["steps"]]
        if "permissions" in job:
            assert "secrets." not in str(job) and not any("checkout" in action for action in uses), "it may write"
            assert "head.repo.fork" in job["if"]
        for step in job["steps"]:
            assert "${{" not in step.get("run", ""), "an expression in a shell line can be made to run anything"
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


def test_the_projects_own_workflow_is_what_ci_runs() -> None:
    job = workflow("project")["jobs"]["test"]
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_the_project_is_tried_on_three_systems_by_tests_that_exist() -> None:
    job = workflow("project")["jobs"]["portable"]
    assert {name.partition("-")[0] for name in job["strategy"]["matrix"]["os"]} == {"ubuntu", "macos", "windows"}
    tests = [word for step in job["steps"] for word in step.get("run", "").split() if word.startswith("tests/")]
    assert tests and all(list(ROOT.glob(pattern)) for pattern in tests)


class Runner:
    """Runs the shell lines of steps in a clone, as the platforms do."""

    def __init__(self, folder: Path, clone: Path) -> None:
        self.clone = clone
        self.calls = folder / "calls"
        programs = folder / "bin"
        programs.mkdir()
        for name in ("gh", "curl"):
            (programs / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {self.calls}\n', "utf-8")
            (programs / name).chmod(0o755 | stat.S_IXUSR)
        environment = folder / "venv"
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        # What this environment has installed is there already, so that installing downloads nothing.
        (site,) = (environment / "lib").glob("python*/site-packages")
        (site / "these.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
        tools = Path(sys.executable).parent / "dvc"
        (environment / "bin/dvc").write_text(
            tools.read_text("utf-8").replace(sys.executable, str(environment / "bin/python")), "utf-8"
        )
        (environment / "bin/dvc").chmod(0o755)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")},
            "PATH": f"{programs}:{environment / 'bin'}:{os.environ['PATH']}",
            "HF_ENDPOINT": NO_HUB,
            "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        }
        self.output = ""

    def run(self, lines: str, environment: dict[str, str]) -> None:
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", lines],
            cwd=self.clone,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        self.output += done.stdout + done.stderr
        assert done.returncode == 0, f"{lines}\n{done.stdout}{done.stderr}"


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[tuple[Runner, str]]:
    """A fresh clone of a change to a project whose artifacts are in a remote; and the commit that it is based on."""
    project = make_project(tmp_path / "project")
    set_params(project, **QUICK)
    shutil.copy(ROOT / "pyproject.toml", project)
    shutil.copy(ROOT / "README.md", project)
    shutil.copy(ROOT / "LICENSE", project)
    dvc = [sys.executable, "-m", "dvc"]

    def call(*command: str) -> str:
        return subprocess.run(command, cwd=project, check=True, capture_output=True, text=True).stdout

    call(*dvc, "remote", "add", "-d", "storage", str(tmp_path / "store"))
    call(*dvc, "repro", "-q")
    call(*dvc, "push", "-q", "--run-cache")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "base")
    base = git(project, "rev-parse", "HEAD").strip()
    set_params(project, train_head__C=[5])
    git(project, "commit", "-qam", "change")
    subprocess.run(["git", "clone", "-q", project, tmp_path / "clone"], check=True)
    yield Runner(tmp_path, tmp_path / "clone"), base


def expressions(text: str, values: dict[str, str]) -> str:
    """`text` with GitHub's expressions replaced; each has to be known."""
    return re.sub(r"\$\{\{ (.*?) \}\}", lambda match: values[match[1]], text)


@pytest.mark.slow
def test_every_step_of_the_github_workflow_runs(runner: tuple[Runner, str], tmp_path: Path) -> None:
    steps, base = runner
    values = {
        "secrets.AWS_ACCESS_KEY_ID": SECRET,
        "secrets.AWS_SECRET_ACCESS_KEY": SECRET,
        "github.workspace": str(steps.clone),
        "github.event.pull_request.base.sha || github.event.before": base,
        "github.token": SECRET,
        "github.repository": "owner/name",
        "github.event.pull_request.number": "7",
    }
    for job in workflow("headstart")["jobs"].values():
        for step in job["steps"]:
            if "run" in step:
                environment = {**job.get("env", {}), **step.get("env", {})}
                steps.run(step["run"], {name: expressions(value, values) for name, value in environment.items()})
            elif "upload-artifact" in step["uses"]:
                for path in step["with"]["path"].split():
                    assert (steps.clone / path).exists(), path
    assert "gate: passed against" in (tmp_path / "summary.md").read_text("utf-8")
    assert "| `train_head.C` |" in (steps.clone / "gate.md").read_text("utf-8")
    assert "Stage 'extract' didn't change" in steps.output and "Running stage 'train_head'" in steps.output
    assert steps.calls.read_text("utf-8") == "gh pr comment 7 --body-file gate.md --edit-last --create-if-none\n"
    assert SECRET not in steps.output and SECRET not in (steps.clone / "gate.md").read_text("utf-8")


@pytest.mark.slow
def test_every_line_of_the_gitlab_pipeline_runs(runner: tuple[Runner, str]) -> None:
    steps, base = runner
    content = yaml.safe_load(GITLAB.read_text("utf-8"))
    values = {
        "CI_PROJECT_DIR": str(steps.clone),
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": base,
        "COMMENT_TOKEN": SECRET,
        "CI_API_V4_URL": "https://gitlab.example.org/api/v4",
        "CI_PROJECT_ID": "3",
        "CI_MERGE_REQUEST_IID": "7",
    }
    for name in content["stages"]:
        job = content[name]
        variables = {
            key: str(value).replace("$CI_PROJECT_DIR", str(steps.clone)) for key, value in job["variables"].items()
        }
        for line in job["script"]:
            steps.run(line, {**values, **variables})
        for path in job.get("artifacts", {}).get("paths", []):
            assert (steps.clone / path).exists(), path
    called = steps.calls.read_text("utf-8")
    assert "body=<gate.md https://gitlab.example.org/api/v4/projects/3/merge_requests/7/notes" in called
    assert SECRET not in steps.output


@pytest.mark.slow
def test_a_worse_model_fails_the_github_job(runner: tuple[Runner, str], tmp_path: Path) -> None:
    steps, base = runner
    (judge,) = [step for step in workflow("headstart")["jobs"]["reproduce"]["steps"] if step.get("id") == "judge"]
    steps.run("dvc repro -q", {})
    params = yaml.safe_load((steps.clone / "params.yaml").read_text("utf-8"))
    params["gate"]["metrics"]["accuracy"]["floor"] = 0.99
    (steps.clone / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    with pytest.raises(AssertionError, match="worse than its floor"):
        steps.run(judge["run"], {"BASE": base})
    assert "gate: failed" in (tmp_path / "summary.md").read_text("utf-8"), "the summary says so all the same"
