"""Settings that are refused in one sentence."""

import itertools
from pathlib import Path

import pytest
import yaml

from tests.hostile.verbs import Way, refused, ways


def bomb(section: str) -> str:
    """YAML of a few lines whose value has 9 to the power of 9 elements."""
    lists = "&a [1, 1, 1, 1, 1, 1, 1, 1, 1]"
    for before, name in itertools.pairwise("abcdefghi"):
        lists += f", &{name} [{', '.join([f'*{before}'] * 9)}]"
    return f"{section}: [{lists}]\n"


PARAMS = {
    "a YAML bomb as a value": (bomb("train_head: {C") + "}", "must be a valid number"),
    "a YAML bomb as a section": (bomb("train_head"), "train_head is"),
    "a tag that makes an object": ("train_head: !!python/object/apply:os.system [touch harmed]", "is not valid YAML"),
    "a list in place of settings": ("train_head: [1]", "train_head is [1], but must be a mapping"),
    "ten thousand brackets": ("train_head: " + "[" * 10_000, "is not valid YAML"),
    "bytes that are no text": ("train_head: \udcff", "is not UTF-8"),
}


@pytest.mark.parametrize(("case", "way"), ways(PARAMS, large=[name for name in PARAMS if "bomb" in name]))
def test_settings_that_are_refused(project: Path, case: str, way: Way) -> None:
    content, words = PARAMS[case]
    settings = yaml.safe_load((project / "params.yaml").read_text("utf-8"))
    del settings["train_head"]
    text = yaml.safe_dump(settings) + content + "\n"
    (project / "params.yaml").write_bytes(text.encode(errors="surrogateescape"))
    refused(way(project, "prepare"), words)
    assert not (project / "harmed").exists()
