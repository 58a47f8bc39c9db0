"""The identity of a backbone: every file that tokenizer and processor read."""

import json
import re
import shutil
from fnmatch import fnmatch
from pathlib import Path

import pytest
import transformers

from stages.backbones.model_files import SETTINGS_PATTERNS, TOKENIZER_FILES
from stages.common.params import BackboneParams
from tests.backbones.text_backbones import CPU, load, settings
from tests.extraction.grown_tables import from_cache
from tests.projects import Verb, run_stages, set_params


def digest(folder: Path) -> str:
    return load(BackboneParams(family="transformers", name=str(folder)), settings(), CPU).fingerprint


@pytest.fixture
def model(tiny_encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_encoder, tmp_path / "model"))


def vocabulary_file(model: Path) -> Path:
    """Let the model have a vocab.txt instead of a tokenizer.json."""
    tokens = json.loads((model / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    (model / "tokenizer.json").unlink()
    path = model / "vocab.txt"
    path.write_text("\n".join(sorted(tokens, key=tokens.get)) + "\n", "utf-8")
    return path


def reverse_words(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    path.write_text("\n".join([*lines[:5], *reversed(lines[5:])]) + "\n", "utf-8")


def test_a_changed_vocabulary_is_another_backbone(trained: Path, verb: Verb, model: Path) -> None:
    vocabulary = vocabulary_file(model)
    set_params(trained, backbone__name=str(model))
    run_stages(trained, "extract", "train_head")
    assert from_cache(verb("extract")) == (160, 160)
    verb("predict", "data/head", "data/reviews.csv", "out.parquet")
    reverse_words(vocabulary)
    assert from_cache(verb("extract")) == (160, 0)
    done = verb("predict", "data/head", "data/reviews.csv", "out.parquet", check=False)
    assert done.returncode == 1 and "trained on another version" in done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "merges.txt",
        "vocab.json",
        "added_tokens.json",
        "spiece.model",
        "sentencepiece.bpe.model",
        "bpe.codes",
        "dict.txt",
        "source.spm",
    ],
)
def test_the_files_of_all_tokenizers_are_in_the_fingerprint(model: Path, name: str) -> None:
    (model / name).write_text('{"[MASK]": 4}', "utf-8")
    before = digest(model)
    (model / name).write_text('{"[MASK]":  4}', "utf-8")
    assert (digest(model) == before) == name.endswith(".json"), "of JSON the layout means nothing"
    (model / name).write_text('{"[PAD]": 0}', "utf-8")
    assert digest(model) != before


def test_no_tokenizer_of_transformers_reads_other_files() -> None:
    sources = Path(transformers.__file__).parent.glob("models/*/tokenization_*.py")
    texts = (path.read_text("utf-8") for path in sources)
    groups = [group for text in texts for group in re.findall(r"VOCAB_FILES_NAMES = \{([^}]*)\}", text)]
    names = {name for group in groups for name in re.findall(r'"([\w.-]+\.\w+)"', group)}
    assert {"vocab.txt", "source.spm", "entity_vocab.json"} <= names
    assert {name for name in names if not any(fnmatch(name, pattern) for pattern in SETTINGS_PATTERNS)} == set()
    assert names <= {*TOKENIZER_FILES}, "finetune replaces what it wrote"


def test_files_that_decide_no_vector_are_not(model: Path) -> None:
    before = digest(model)
    for name in ("README.md", "generation_config.json", "chat_template.jinja", "trainer_state.json", "run.py"):
        (model / name).write_text("{}", "utf-8")
    assert digest(model) == before
