"""The workflows that users copy: valid, careful with secrets, and every line of their shell runs."""

import json
import os
import re
import shlex
import shutil
import string
import subprocess
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Once, copy
from tests.dvc_here import dvc
from tests.pipeline import code_host
from tests.projects import NO_HUB, ROOT, git, set_params

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


def steps(name: str) -> Iterator[dict[str, Any]]:
    """The steps of all jobs of a workflow."""
    for job in workflow(name)["jobs"].values():
        yield from job["steps"]


def test_actions_are_pinned_by_commit() -> None:
    pins: dict[str, set[str]] = defaultdict(set)
    for path in sorted(GITHUB.glob("*.yml")):
        for line in re.findall(r"uses: .*", path.read_text("utf-8")):
            pinned = re.fullmatch(r"uses: ([\w-]+/[\w-]+)@([0-9a-f]{40} # v\d+\.\d+\.\d+)", line)
            assert pinned, f"{path.name}: {line}"
            pins[pinned[1]].add(pinned[2])
    assert pins and all(len(commits) == 1 for commits in pins.values()), pins


def test_a_fork_can_read_no_data_in_a_cache_of_main() -> None:
    for name in ("headstart", "project"):
        for step in steps(name):
            assert "actions/cache" not in step.get("uses", ""), "forks read the caches of main"
            assert step.get("with", {}).get("cache", "pip") == "pip"
    cache = yaml.safe_load(GITLAB.read_text("utf-8"))["reproduce"]["cache"]
    assert cache["paths"] == [".pip"]
    assert "$CI_COMMIT_REF_PROTECTED" in cache["key"] and "$CI_COMMIT_REF_SLUG" in cache["key"]


def test_the_report_is_kept_only_for_those_who_may_read_the_data() -> None:
    for step in steps("headstart"):
        if "data/" in step.get("with", {}).get("path", ""):
            assert "github.event.repository.private" in step["if"]
    assert yaml.safe_load(GITLAB.read_text("utf-8"))["reproduce"]["artifacts"]["access"] == "developer"


def test_what_the_remote_holds_comes_checked_and_without_the_run_cache() -> None:
    for path in (GITHUB / "headstart.yml", GITLAB):
        text = path.read_text("utf-8")
        assert "python -m stages.pull" in text
        assert not re.search(r"dvc pull|--pull|--run-cache|dvc fetch", text)


def test_the_projects_own_workflow_is_what_ci_runs() -> None:
    job = workflow("project")["jobs"]["test"]
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_the_project_is_tried_on_three_systems_by_tests_that_exist() -> None:
    job = workflow("project")["jobs"]["portable"]
    assert {name.partition("-")[0] for name in job["strategy"]["matrix"]["os"]} == {"ubuntu", "macos", "windows"}
    tests = [word for step in job["steps"] for word in step.get("run", "").split() if word.startswith("tests/")]
    assert tests and all(list(ROOT.glob(pattern)) for pattern in tests)


# Of a person who imitates ours, and of other workflows, which have the same user.
OTHERS = [
    code_host.comment(1, code_host.PERSON, f"{code_host.MARK}\nmine"),
    code_host.comment(2, code_host.BOT, f"coverage 81 %\n{code_host.MARK}"),
    code_host.comment(3, code_host.BOT, "coverage 82 %"),
]


class Runner:
    """Runs the shell lines of steps in a clone, as the platforms do."""

    def __init__(self, folder: Path, clone: Path, *, with_pip: bool = True) -> None:
        self.clone = clone
        self.state = folder / "comments.json"
        self.state.write_text(json.dumps(OTHERS), "utf-8")
        programs = folder / "bin"
        programs.mkdir()
        for name in ("gh", "curl"):
            command = shlex.join([sys.executable, "-I", code_host.__file__, str(self.state), name])
            (programs / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n', "utf-8")
            (programs / name).chmod(0o755)
        environment = folder / "venv"
        options = [] if with_pip else ["--without-pip"]
        subprocess.run([sys.executable, "-m", "venv", *options, environment], check=True)
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

    def comments(self) -> list[str]:
        """What our workflow wrote; nothing of others is changed."""
        comments = json.loads(self.state.read_text("utf-8"))
        assert comments[: len(OTHERS)] == OTHERS
        assert all(comment["user"] == code_host.BOT for comment in comments[len(OTHERS) :])
        return [comment["body"] for comment in comments[len(OTHERS) :]]

    def run(self, lines: str, environment: dict[str, str], folder: Path | None = None) -> None:
        """Run the lines in the clone, or in another folder."""
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", lines],
            cwd=folder or self.clone,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        self.output += done.stdout + done.stderr
        assert done.returncode == 0, f"{lines}\n{done.stdout}{done.stderr}"


def make_base(folder: Path, reproduced: Path) -> None:
    """A committed project, and the folder `store` beside it, which its outputs were pushed to."""
    project = copy(reproduced, folder / "project")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project)
    dvc(project, "remote", "add", "-q", "-d", "storage", "../store")
    dvc(project, "push", "-q")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "base")


@pytest.fixture
def runner(tmp_path: Path, once: Once, reproduced: Path) -> Iterator[tuple[Runner, str]]:
    """A fresh clone of a change to a project whose artifacts are in a remote; and the commit that it is based on."""
    made = once("evaluated-for-workflows", lambda folder: make_base(folder, reproduced))
    shutil.copytree(made / "store", tmp_path / "store")
    project = copy(made / "project", tmp_path / "project")
    base = git(project, "rev-parse", "HEAD").strip()
    set_params(project, train_head__C=[5])
    git(project, "commit", "-qam", "change")
    subprocess.run(["git", "clone", "-q", project, tmp_path / "clone"], check=True)
    yield Runner(tmp_path, tmp_path / "clone"), base


def expressions(text: str, values: dict[str, str]) -> str:
    """`text` with GitHub's expressions replaced; each has to be known."""
    return re.sub(r"\$\{\{ (.*?) \}\}", lambda match: values[match[1]], text)


def github_values(base: str) -> dict[str, str]:
    """What GitHub's expressions give."""
    return {
        "secrets.AWS_ACCESS_KEY_ID": SECRET,
        "secrets.AWS_SECRET_ACCESS_KEY": SECRET,
        "github.event.pull_request.base.sha || github.event.before": base,
        "github.token": SECRET,
        "github.repository": "owner/name",
        "github.event.pull_request.number": "7",
        "github.server_url": "https://github.example.org",
        "github.run_id": "9",
    }


@pytest.mark.slow
def test_every_step_of_the_github_workflow_runs(runner: tuple[Runner, str], tmp_path: Path) -> None:
    steps, base = runner
    values = github_values(base)
    for job in workflow("headstart")["jobs"].values():
        for step in job["steps"]:
            if "run" in step:
                environment = {**job.get("env", {}), **step.get("env", {})}
                steps.run(step["run"], {name: expressions(value, values) for name, value in environment.items()})
            elif "upload-artifact" in step["uses"]:
                for path in step["with"]["path"].split():
                    assert (steps.clone / path).exists(), path
    verdict = (steps.clone / "gate.md").read_text("utf-8")
    assert "gate: passed against" in (tmp_path / "summary.md").read_text("utf-8")
    assert "| `train_head.C` |" in verdict
    assert "pull: 11 of 11 outputs in place" in steps.output
    assert "Stage 'extract' didn't change" in steps.output and "Running stage 'train_head'" in steps.output
    assert steps.comments() == [f"{code_host.MARK}\n{verdict}"]
    assert SECRET not in steps.output and SECRET not in verdict


@pytest.mark.slow
def test_every_line_of_the_gitlab_pipeline_runs(runner: tuple[Runner, str]) -> None:
    steps, base = runner
    content = yaml.safe_load(GITLAB.read_text("utf-8"))
    for name in content["stages"]:
        job = content[name]
        variables = gitlab_values(steps, base, job["variables"])
        for line in job["script"]:
            steps.run(line, variables)
        for path in job.get("artifacts", {}).get("paths", []):
            assert (steps.clone / path.replace("$VERDICT", variables["VERDICT"])).exists(), path
    (comment,) = steps.comments()
    assert comment.startswith(f"{code_host.MARK}\n") and "| `train_head.C` |" in comment
    assert SECRET not in steps.output


def gitlab_values(steps: Runner, base: str, variables: dict[str, object]) -> dict[str, str]:
    """The variables of GitLab, of the pipeline and of a job."""
    values = {
        "CI_PROJECT_DIR": str(steps.clone),
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": base,
        "COMMENT_TOKEN": SECRET,
        "CI_API_V4_URL": "https://gitlab.example.org/api/v4",
        "CI_PROJECT_ID": "3",
        "CI_MERGE_REQUEST_IID": "7",
        "CI_PIPELINE_ID": "11",
        "CI_PIPELINE_URL": "https://gitlab.example.org/pipelines/11",
    }
    for name, value in {**yaml.safe_load(GITLAB.read_text("utf-8"))["variables"], **variables}.items():
        values[name] = string.Template(str(value)).substitute(values)
    return values


@pytest.mark.parametrize("platform", ["github", "gitlab"])
def test_the_comment_is_edited_and_survives_a_job_without_a_verdict(tmp_path: Path, platform: str) -> None:
    """As after a first run, a second one, and one that ended before the gate; json.py is nothing to import."""
    if not shutil.which("jq"):
        pytest.skip("jq, which gh has built in, is not installed (Debian: apt-get install jq)")
    steps = Runner(tmp_path, tmp_path, with_pip=False)
    if platform == "github":
        (step,) = [step for step in workflow("headstart")["jobs"]["comment"]["steps"] if "run" in step]
        values = github_values("")
        lines, verdict = step["run"], "gate.md"
        environment = {name: expressions(value, values) for name, value in step["env"].items()}
    else:
        job = yaml.safe_load(GITLAB.read_text("utf-8"))["comment"]
        environment = gitlab_values(steps, "", job["variables"])
        (lines,) = job["script"]
        verdict = environment["VERDICT"]
    for number, content in enumerate(("first", "second", None)):
        folder = tmp_path / f"artifact{number}"
        folder.mkdir()
        (folder / "json.py").write_text("raise SystemExit('evil ran')", "utf-8")
        if content:
            (folder / verdict).write_text(content, "utf-8")
        steps.run(lines, environment, folder)
        (comment,) = steps.comments()
        assert comment.startswith(f"{code_host.MARK}\n{content or 'headstart: no verdict, see https://'}")


def test_a_job_without_a_verdict_has_no_artifact_to_download() -> None:
    downloads = [
        step for step in workflow("headstart")["jobs"]["comment"]["steps"] if "download" in step.get("uses", "")
    ]
    assert [step["continue-on-error"] for step in downloads] == [True]


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
