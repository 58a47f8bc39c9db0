"""Linux, macOS and Windows: nothing needs what only one of them has. Run here with it taken away."""

import ast
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.closure import ROOT
from tests.projects import STAGES, contents, run, set_params, stage_command

POSIX_ONLY = {"fcntl", "resource", "pwd", "grp", "termios"}
GUARDED = {"stages/common/run_stats.py"}  # tries to import one of them, for macOS

# Run first in each process, as a `sitecustomize`. A few libraries look which system this is, and on others do the same
# by other means: they may do here what they do on Linux.
TAKEN_AWAY = f"""
import builtins, sys

MAY_IMPORT = {{"dvc_objects", "filelock", "huggingface_hub", "psutil", "tty", "zc"}}
MAY_READ = {{"psutil", "threadpoolctl"}}
real_import = builtins.__import__

def import_(name, globals=None, *rest, **named):
    if name in {sorted(POSIX_ONLY)} and package(globals or {{}}) not in MAY_IMPORT:
        raise ModuleNotFoundError("No module named " + name, name=name)
    return real_import(name, globals, *rest, **named)

def hook(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and str(arguments[0]).startswith("/proc"):
        frame = sys._getframe(1)
        while frame and package(frame.f_globals) in ("pathlib", "io", "os"):
            frame = frame.f_back
        if not frame or package(frame.f_globals) not in MAY_READ:
            raise FileNotFoundError(2, "taken away", str(arguments[0]))

def package(globals):
    return globals.get("__name__", "").partition(".")[0]

builtins.__import__ = import_
sys.addaudithook(hook)
"""


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that this test starts have no modules of POSIX alone, and no /proc."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(TAKEN_AWAY, "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setenv("USERNAME", "someone")  # which Python asks `pwd` for where it is not set, as on Windows it is


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("code", ["import fcntl", "import resource", "import pwd", "open('/proc/self/stat')"])
def test_what_is_taken_away_is_gone(trained: Path, code: str) -> None:
    done = run(trained, *stage_command("prepare")[:1], "-c", code, check=False)
    assert "No module named" in done.stderr or "taken away" in done.stderr


@pytest.mark.usefixtures("elsewhere")
def test_every_verb_of_a_project_works(trained: Path) -> None:
    set_params(trained, finetune__method="full", finetune__epochs=1, finetune__learning_rate=1e-3)
    before = contents(trained / "data")
    for name in STAGES:
        run(trained, *stage_command(name))
    after = contents(trained / "data")
    assert after == after | before, "what was made with them has the same bytes"
    for model in ("head", "finetuned"):
        predicted = run(trained, *stage_command("predict", f"data/{model}", "data/reviews.csv", f"{model}.parquet"))
        assert "160 rows predicted, 0 rejected" in predicted.stdout
    gate = run(trained, *stage_command("gate", "data/evaluation"))
    assert "gate: passed against data/evaluation" in gate.stdout
    assert "backbone" in run(trained, *stage_command("cache", "--clear")).stdout


@pytest.mark.usefixtures("elsewhere")
def test_dvc_and_the_gate_against_a_revision_work(finished: Path) -> None:
    run(finished, "git", "add", "-A")
    run(finished, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "evaluated")
    set_params(finished, train_head__kind="ridge")
    run(finished, "dvc", "repro")
    assert "gate: " in run(finished, *stage_command("gate", "HEAD"), check=False).stdout


def test_modules_of_posix_alone_are_imported_behind_a_guard_only() -> None:
    lines = [
        line
        for file, line, node in nodes("stages")
        if file not in GUARDED and not POSIX_ONLY.isdisjoint(imported(node))
    ]
    assert not lines


def test_text_files_are_opened_with_an_encoding() -> None:
    both = nodes("stages") + nodes("tests")
    assert not [line for _, line, node in both if isinstance(node, ast.Call) and opens_text(node)]


def test_text_files_of_outputs_have_the_same_bytes_on_every_system() -> None:
    writes = [
        (line, node)
        for _, line, node in nodes("stages")
        if isinstance(node, ast.Call)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "write_text"
    ]
    assert writes
    assert not [line for line, node in writes if "newline" not in {keyword.arg for keyword in node.keywords}]


def test_commands_of_the_pipeline_need_no_shell() -> None:
    for stage in yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"].values():
        assert stage["cmd"].startswith("python -m stages.") and not set(stage["cmd"]) & set("\"'$;&|<>`()\n")


@cache
def nodes(folder: str) -> list[tuple[str, str, ast.AST]]:
    """The statements and calls of every source file of a folder, with their file, and as FILE:LINE."""
    found: list[tuple[str, str, ast.AST]] = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        file, tree = path.relative_to(ROOT).as_posix(), ast.walk(ast.parse(path.read_text("utf-8")))
        found += [(file, f"{file}:{node.lineno}", node) for node in tree if isinstance(node, ast.stmt | ast.Call)]
    return found


def imported(node: ast.AST) -> set[str]:
    """The modules that a statement imports."""
    match node:
        case ast.Import(names=names):
            return {alias.name for alias in names}
        case ast.ImportFrom(module=str(module)):
            return {module}
    return set()


def opens_text(call: ast.Call) -> bool:
    """Whether a call opens a text file and names no encoding."""
    if "encoding" in {keyword.arg for keyword in call.keywords}:
        return False
    match call.func:
        case ast.Attribute(attr="read_text"):
            return not call.args
        case ast.Attribute(attr="write_text"):
            return len(call.args) < 2
        case ast.Name(id="open"):
            modes = call.args[1:2]
        case ast.Attribute(attr="open"):
            modes = call.args[:1]
        case _:
            return False
    modes += [keyword.value for keyword in call.keywords if keyword.arg == "mode"]
    match modes:
        case [ast.Constant(value=str(mode))]:
            return "b" not in mode
        case _:
            return not modes
