"""The layout and the promises around it: imports, dependencies, help."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from tests.closure import ROOT, closure

STAGES = ("prepare", "extract", "train_head", "finetune", "evaluate")
VERBS = (
    *STAGES,
    "predict",
    "fetch",
    "pull",
    "gate",
    "cache",
    "compare_backbones",
    "suggest",
    "label",
    "export",
    "serve",
)
# Files that a stage imports and does not depend on: path to why, and the cost. There are none.
EXCEPTIONS: dict[str, str] = {}
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]


@pytest.mark.parametrize("stage", PIPELINE)
def test_the_closure_of_a_stage_lies_in_its_script_and_rooms_but_for_the_exceptions(stage: str) -> None:
    deps = code_deps(stage)
    outside = {file for file in closure(stage) if not any(is_in(file, dep) for dep in deps)}
    assert outside == set(EXCEPTIONS)


@pytest.mark.parametrize("stage", PIPELINE)
def test_the_closure_of_a_stage_enters_every_room_that_it_depends_on(stage: str) -> None:
    files = closure(stage)
    assert not [dep for dep in code_deps(stage) if not any(is_in(file, dep) for file in files)]


@pytest.mark.parametrize("stage", PIPELINE)
def test_dvc_sees_every_file_of_the_closure(stage: str) -> None:
    ignore = Repo(str(ROOT)).dvcignore
    assert not [file for file in closure(stage) if ignore.is_ignored_file(str(ROOT / file))]


@pytest.mark.parametrize("stage", PIPELINE)
def test_a_stage_runs_the_script_of_its_name(stage: str) -> None:
    assert PIPELINE[stage]["cmd"].startswith(f"python -m stages.{stage} data/")


def test_the_closure_follows_imports_inside_functions_and_packages() -> None:
    files = closure("extract")
    assert {
        "stages/__init__.py",
        "stages/backbones/__init__.py",
        "stages/backbones/hub.py",
        "stages/common/errors.py",
    } <= files
    assert "stages/heads/choosing.py" not in files and "stages/predict.py" not in closure("evaluate")


def test_a_room_is_a_folder_without_folders_but_for_the_report() -> None:
    folders = {path.parent.relative_to(ROOT / "stages").as_posix() for path in (ROOT / "stages").rglob("*.py")}
    assert {folder for folder in folders if "/" in folder} == {"evaluation/report"}
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} == {"__init__", *VERBS}


def test_import_rules() -> None:
    command = [Path(sys.executable).parent / "lint-imports"]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_light_verbs_import_no_torch_and_the_first_three_no_pandas() -> None:
    code = """
import sys
verbs = "prepare extract train_head finetune evaluate predict gate compare_backbones suggest label export serve"
for verb in verbs.split():
    __import__(f"stages.{verb}")
    assert "torch" not in sys.modules, verb
    assert verb not in ("prepare", "extract", "train_head") or "pandas" not in sys.modules, verb
from stages.heads import persistence, skops_bytes
skops_bytes.skops_io(persistence.ESTIMATORS)
assert "torch" not in sys.modules, "reading a head"
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_verbs_that_fit_nothing_start_without_the_modules_of_scipy() -> None:
    code = "import sys, stages.prepare, stages.extract, stages.finetune, stages.predict"
    code += "; print([name for name in ('pandas', 'scipy.sparse', 'scipy.special', 'sklearn') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str) -> None:
    command = [sys.executable, "-m", f"stages.{verb}", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"python -m stages.{verb}" in done.stdout


def test_every_parameter_is_tracked_by_a_stage_except_how_to_run_and_judge() -> None:
    tracked = {param.split(".")[0] for stage in PIPELINE.values() for param in stage["params"]}
    assert tracked == set(yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))) - {"gate", "compare", "runtime"}


def test_the_top_level_is_the_one_of_the_design() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    top = {name.split("/")[0] for name in files if not name.startswith(".")}
    folders = {"stages", "data", "tests"}
    assert top == folders | {
        "dvc.yaml", "dvc.lock", "params.yaml", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"
    }  # fmt: skip


def test_files_stay_short() -> None:
    for path in (ROOT / "stages").rglob("*.py"):
        assert len(path.read_text("utf-8").splitlines()) <= 300, path


def test_dvc_lock_was_made_by_this_code() -> None:
    for stage in Repo(str(ROOT)).index.stages:
        for dep in stage.deps:
            if str(dep).startswith("stages") or str(dep).endswith(".csv"):
                assert not dep.status(), f"{stage.name}: {dep} changed; run `dvc repro` and commit dvc.lock"


def test_stages_is_not_shadowed_by_an_installed_copy() -> None:
    spec = importlib.util.find_spec("stages")
    assert spec and spec.origin and Path(spec.origin).parent == ROOT / "stages"


def code_deps(stage: str) -> list[str]:
    """The script and the rooms that dvc.yaml lists for a stage."""
    deps = [dep for dep in PIPELINE[stage]["deps"] if dep.startswith("stages/")]
    assert len(deps) == len(set(deps))
    return deps


def is_in(file: str, dep: str) -> bool:
    return file == dep or file.startswith(f"{dep}/")
