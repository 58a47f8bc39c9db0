"""`dvc exp run -S` rewrites params.yaml: in the file's form, a change touches the lines of its key and no other."""

import difflib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides

from stages.common import params
from stages.common.params import BackboneParams
from stages.common.yaml_text import parse
from tests.projects import ROOT

DEFAULT = (ROOT / "params.yaml").read_text("utf-8")


def leaves(content: Any, parents: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The dotted name and the value of every setting."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from leaves(value, (*parents, key))
        else:
            yield ".".join((*parents, key)), value


LEAVES = dict(leaves(parse(DEFAULT)))
ONE_LINE = {name: value for name, value in LEAVES.items() if not isinstance(value, list)}
TEXT = 'it\'s "mine": # 1'  # with all that YAML must quote


def another(value: object) -> object:
    """Another value of the same type."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 0.5
        case _:
            return TEXT


def set_by_dvc(path: Path, name: str, value: object) -> list[str]:
    """The lines that differ after `-S name=value`, as of a diff."""
    before = path.read_text("utf-8").splitlines()
    apply_overrides(path, [f"{name}={json.dumps(value)}"])
    lines = list(difflib.unified_diff(before, path.read_text("utf-8").splitlines(), n=0, lineterm=""))
    return [line for line in lines[2:] if line[0] in "+-"]


def comment(line: str) -> str:
    return line.rpartition(" # ")[2] if " # " in line else ""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text(DEFAULT, "utf-8")
    return tmp_path / "params.yaml"


def test_every_setting_changes_in_its_own_line(path: Path) -> None:
    changed = {name: another(value) for name, value in ONE_LINE.items() if not name.endswith(".floor")}
    changed |= {name: 0.875 for name in ONE_LINE if name.endswith(".floor")}
    apply_overrides(path, [f"{name}={json.dumps(value)}" for name, value in changed.items()])
    assert dict(leaves(parse(path.read_text("utf-8")))) == LEAVES | changed
    keys = {name.rpartition(".")[2] for name in ONE_LINE} - {"higher_is_better", "tolerance", "floor"}
    keys |= {"accuracy", "macro_f1"}
    for old, new in zip(DEFAULT.splitlines(), path.read_text("utf-8").splitlines(), strict=True):
        assert (old != new) == (old.partition(":")[0].strip() in keys), new
        assert comment(old) == comment(new)
    apply_overrides(path, [f"{name}={json.dumps(value)}" for name, value in ONE_LINE.items()])
    assert path.read_text("utf-8").split() == DEFAULT.split()


@pytest.mark.parametrize(
    "name", ["prepare.label", "finetune.learning_rate", "gate.metrics.accuracy.floor", "prepare.seed"]
)
def test_one_setting_is_one_line_of_the_diff(path: Path, name: str) -> None:
    assert [line[0] for line in set_by_dvc(path, name, another(LEAVES[name]))] == ["-", "+"]


@pytest.mark.parametrize("name", ["prepare.split", "budget.per_class", "prepare.max_side", "extract.prompt"])
@pytest.mark.parametrize("value", [None, 7, "part", ""])
def test_null_comes_and_goes_in_one_line(path: Path, name: str, value: object) -> None:
    assert len(set_by_dvc(path, name, value)) == (0 if value == LEAVES[name] else 2)
    set_by_dvc(path, name, LEAVES[name])
    assert path.read_text("utf-8") == DEFAULT


@pytest.mark.parametrize("name", ["train_head.C", "train_head.neighbors", "evaluate.learning_curve"])
def test_a_value_in_a_list_is_one_line_of_the_diff(path: Path, name: str) -> None:
    *others, last = LEAVES[name]
    assert set_by_dvc(path, name, [*others, 1000]) == [f"-  - {last}", "+  - 1000"]


@pytest.mark.parametrize("name", [name for name in LEAVES if name not in ONE_LINE] + ["prepare.input"])
def test_lists_that_grow_and_shrink_touch_no_other_setting(path: Path, name: str) -> None:
    key = name.rpartition(".")[2]
    for value in ([], [5], ["a", "b"], [1, 2, 3, 4, 5, 6, 7, 8]):
        changed = set_by_dvc(path, name, value)
        assert {line[1:].split()[0] for line in changed} <= {"-", f"{key}:"}
        assert dict(leaves(parse(path.read_text("utf-8")))) == LEAVES | {name: value}
    set_by_dvc(path, name, LEAVES[name])
    assert path.read_text("utf-8") == DEFAULT


MINILM = "transformers:sentence-transformers/all-MiniLM-L6-v2@1110a243"
WORD, CHARACTERS = (BackboneParams(family="tfidf", name=name) for name in ("word", "char_wb"))


def backbone_after(path: Path, *overrides: str) -> object:
    apply_overrides(path, list(overrides))
    return params.load(path).backbone


@pytest.mark.parametrize(
    ("override", "backbones"),
    [
        ("backbone=tfidf:word", WORD),
        ("backbone=tfidf:word + tfidf:char_wb", (WORD, CHARACTERS)),
    ],
)
def test_one_text_takes_the_place_of_the_section(path: Path, override: str, backbones: object) -> None:
    assert backbone_after(path, override) == backbones


@pytest.mark.parametrize("member", ["{family: tfidf, name: char_wb}", "tfidf:char_wb"])
def test_a_member_of_a_list_changes_by_its_number(path: Path, member: str) -> None:
    start, end = DEFAULT.index("backbone:"), DEFAULT.index("extract:")
    path.write_text(f"{DEFAULT[:start]}backbone:\n- {MINILM}\n- {member}\n\n{DEFAULT[end:]}", "utf-8")
    minilm, _ = params.load(path).backbone
    assert backbone_after(path, "backbone.1=tfidf:word") == (minilm, WORD)
    assert backbone_after(path, f"backbone=[tfidf:word,{MINILM}]") == (WORD, minilm)
    assert backbone_after(path, "backbone=tfidf:word") == WORD


def test_a_setting_of_a_member_is_one_line_of_the_diff(path: Path) -> None:
    start, end = DEFAULT.index("backbone:"), DEFAULT.index("extract:")
    members = f"- {MINILM}\n- family: tfidf\n  name: char_wb\n\n"
    path.write_text(f"{DEFAULT[:start]}backbone:\n{members}{DEFAULT[end:]}", "utf-8")
    changed = [line for line in set_by_dvc(path, "backbone.1.name", "word") if line != "-"]  # an empty line
    assert changed == ["-  name: char_wb", "+  name: word"]
    assert params.load(path).backbone[1] == WORD
