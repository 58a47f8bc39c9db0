"""DVC in this process, and the stages that it runs too: neither is imported again for each command."""

import io
import logging
import shlex
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from tests.projects import QUICK, Done, make_project, set_params, stage


def dvc(project: Path, *command: str, check: bool = True) -> Done:
    """Do what `dvc COMMAND` does in the project, as `tests.projects.stage` does what a verb does.

    The stages are those of this clone, whatever code the project holds: for a test of code or of processes, use `run`.

    Args:
        check: whether an exit code other than 0 is an error.
    """
    from dvc import cli

    out, errors = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(action="ignore", category=DeprecationWarning),  # DVC has hundreds
        redirect_stdout(out),
        redirect_stderr(errors),
    ):
        patch.chdir(project)
        patch.setattr("dvc.stage.run._run", _run_stage)
        # Its handlers hold the streams that this process had when DVC was imported.
        for handler in logging.getLogger("dvc").handlers:
            if isinstance(handler, logging.StreamHandler):
                patch.setattr(handler, "stream", errors if handler.level >= logging.WARNING else out)
        code = cli.main(list(command))
    done = subprocess.CompletedProcess(["dvc", *command], code, out.getvalue(), errors.getvalue())
    assert not check or code == 0, done.stdout + done.stderr
    return done


def _run_stage(executable: str | None, command: str, *, cwd: str, env: dict[str, str], **_: Any) -> None:
    """Run a stage of dvc.yaml in place of `dvc.stage.run._run`."""
    from dvc.stage.exceptions import StageCmdFailedError

    python, option, module, *arguments = shlex.split(command)
    assert (python, option) == ("python", "-m"), command
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_STAGE", env["DVC_STAGE"])
        done = stage(Path(cwd), module.removeprefix("stages."), *arguments, check=False)
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    if done.returncode:
        raise StageCmdFailedError(command, done.returncode)


def make_reproduced(folder: Path) -> Path:
    """A project in which `dvc repro` ran, with the settings `QUICK`."""
    project = make_project(folder)
    set_params(project, **QUICK)
    dvc(project, "repro", "-q")
    return project
