"""The READMEs are true: links resolve, commands exist, settings exist, every verb and room has its line."""

import copy
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.cli.parser import get_main_parser

from stages.common import params
from tests.benchmarks.finetuning import CASES
from tests.closure import ROOT

LISTED = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "README.md", "*/README.md"]
READMES = subprocess.run(LISTED, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
SETTINGS = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
VERBS = sorted(path.stem for path in (ROOT / "stages").glob("*.py") if path.stem != "__init__")
ROOMS = sorted(path.parent.name for path in (ROOT / "stages").glob("*/__init__.py"))
BENCHMARKS = sorted(
    path.stem for path in (ROOT / "tests/benchmarks").glob("*.py") if "__main__" in path.read_text("utf-8")
)
MAX_LINES, MAX_WIDTH = 260, 120


def text(readme: str) -> str:
    return (ROOT / readme).read_text("utf-8")


def prose(readme: str) -> str:
    """The text without fenced blocks."""
    return re.sub(r"```.*?```", "", text(readme), flags=re.DOTALL)


def blocks(readme: str, language: str) -> list[str]:
    """The fenced blocks in one language."""
    return re.findall(rf"```{language}\n(.*?)```", text(readme), re.DOTALL)


def commands(readme: str) -> Iterator[list[str]]:
    """The words of each command: the lines of shell blocks, and code in sentences that calls dvc or Python."""
    lines = "".join(blocks(readme, "sh")).replace("\\\n", " ").splitlines()
    lines += re.findall(r"`((?:dvc|python -m) [^`]+)`", prose(readme))
    for line in lines:
        for command in line.split("&&"):
            yield shlex.split(command, comments=True)


def dvc_commands(readme: str) -> Iterator[list[str]]:
    """The arguments of each call of dvc."""
    for words in commands(readme):
        if "dvc" in words:
            yield words[words.index("dvc") + 1 :]


def with_setting(content: dict[str, Any], assignment: str) -> dict[str, Any]:
    """A copy of params.yaml's content after `-S section.key=value`."""
    name, _, value = assignment.partition("=")
    section, _, key = name.partition(".")
    changed = copy.deepcopy(content)
    assert key in changed.get(section, {}), f"params.yaml has no {name}"
    changed[section][key] = yaml.safe_load(value)
    return changed


def check_settings(content: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content), "utf-8")
    params.load(tmp_path / "params.yaml")


def slug(heading: str) -> str:
    """The anchor of a heading, by GitHub's rule."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_readme_is_short() -> None:
    assert len(text("README.md").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("readme", READMES)
def test_lines_of_prose_fit_a_screen(readme: str) -> None:
    wide = [line for line in prose(readme).splitlines() if len(line) > MAX_WIDTH]
    assert not [line for line in wide if readme == "README.md" or not line.startswith("|")]


def test_the_readme_has_its_two_commands_on_lines_of_their_own() -> None:
    lines = text("README.md").splitlines()
    assert "pip install -e '.[offline]' && dvc repro" in lines
    assert "pip install -e '.[test]' && pytest" in lines


def test_ci_runs_the_first_lines_that_name_the_two_commands() -> None:
    lines = text("README.md").splitlines()
    assert next(line for line in lines if "dvc repro" in line) == "pip install -e '.[offline]' && dvc repro"
    assert next(line for line in lines if "&& pytest" in line) == "pip install -e '.[test]' && pytest"


@pytest.mark.parametrize("readme", READMES)
def test_no_gap_was_left(readme: str) -> None:
    assert "@@" not in text(readme)


@pytest.mark.parametrize("readme", READMES)
def test_links_lead_somewhere(readme: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", text(readme)):
        path, _, anchor = target.partition("#")
        linked = (ROOT / readme).parent / path if path else ROOT / readme
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text("utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), target


@pytest.mark.parametrize("verb", VERBS)
def test_the_readme_names_every_verb(verb: str) -> None:
    assert f"`python -m stages.{verb}" in text("README.md")


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_one_line_in_the_file_map(room: str) -> None:
    assert len(re.findall(rf"^\| `stages/{room}/` \|", text("README.md"), re.MULTILINE)) == 1


def test_every_readme_is_linked_from_the_first() -> None:
    links = set(re.findall(r"\]\(([^)#]+)", text("README.md")))
    assert set(READMES) - {"README.md"} <= links


@pytest.mark.parametrize("readme", READMES)
def test_recipes_take_nothing_unchecked_from_a_remote(readme: str) -> None:
    shell = "".join(blocks(readme, "sh"))
    assert not re.search(r"dvc pull|dvc fetch|--pull|--run-cache", shell)
    assert all("--no-cache" in line for line in shell.splitlines() if "dvc exp pull" in line)


@pytest.mark.parametrize("readme", READMES)
def test_commands_of_dvc_are_understood_by_dvc(readme: str) -> None:
    parser = get_main_parser()
    for arguments in dvc_commands(readme):
        parser.parse_args(arguments)


@pytest.mark.parametrize("readme", READMES)
def test_modules_that_commands_run_exist_and_know_the_options(readme: str) -> None:
    for words in commands(readme):
        if "-m" not in words or words[0] not in ("python", "accelerate"):
            continue
        module, *arguments = words[words.index("-m") + 1 :]
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text("utf-8")
        assert 'if __name__ == "__main__"' in source
        for option in (word for word in arguments if word.startswith("--")):
            assert option in source, f"{module} has no {option}"


@pytest.mark.parametrize("readme", READMES)
def test_settings_in_commands_are_accepted(readme: str, tmp_path: Path) -> None:
    assignments = re.findall(r"-S (\S+?=[^\s`]+)", text(readme))
    assert len(assignments) == text(readme).count("-S ")
    for assignment in assignments:
        name, _, values = assignment.partition("=")
        for value in values.split(","):  # a queue takes several
            check_settings(with_setting(SETTINGS, f"{name}={value}"), tmp_path)


@pytest.mark.parametrize("readme", READMES)
def test_settings_in_yaml_are_accepted(readme: str, tmp_path: Path) -> None:
    for block in blocks(readme, "yaml"):
        content = copy.deepcopy(SETTINGS)
        for section, values in yaml.safe_load(block).items():
            if isinstance(values, list):  # of backbones
                content[section] = values
                continue
            assert values.keys() <= content[section].keys()
            content[section].update(values)
        check_settings(content, tmp_path)


@pytest.mark.parametrize("readme", READMES)
def test_settings_in_sentences_exist(readme: str) -> None:
    for name in re.findall(rf"`((?:{'|'.join(SETTINGS)})\.[\w.]+)(?!\w|\()", text(readme)):
        content: Any = SETTINGS
        for key in name.split("."):
            content = next(iter(content.values())) if key.isupper() else content.get(key, KeyError)
            assert content is not KeyError, f"params.yaml has no {name}"


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_every_benchmark_has_a_line_beside_the_tests(benchmark: str) -> None:
    assert (
        len(re.findall(rf"^\| `python -m tests\.benchmarks\.{benchmark}\b", text("tests/README.md"), re.MULTILINE)) == 1
    )


def test_trials_of_fine_tuning_name_cases_and_settings_that_exist(tmp_path: Path) -> None:
    _, trials = text("stages/finetuning/README.md").split("\n## Trials\n")
    rows = [row.split() for row in re.findall(r"^\| `([^`]+)` \|", trials, re.MULTILINE)]
    assert {case for case, *_ in rows} == CASES.keys()
    for _, *options in rows:
        for option, value in zip(options[::2], options[1::2], strict=True):
            assert option in ("--set", "--seeds")
            if option == "--set":
                setting = value if "." in value.partition("=")[0] else f"finetune.{value}"
                check_settings(with_setting(SETTINGS, setting), tmp_path)
