"""Folders of pretrained weights that are hostile."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from tests.hostile.harm import Harm, cut, edit, endless_header
from tests.hostile.verbs import Way, here, refused, ways
from tests.projects import make_project, set_params, stage


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"embeddings": Harm()}))


def remote_code(folder: Path, **config: Any) -> None:
    (folder / "harm.py").write_text("open('harmed', 'w')\nclass Model: ...\nclass Config: ...\n", "utf-8")
    edit(folder / "config.json", auto_map={"AutoModel": "harm.Model", "AutoConfig": "harm.Config"}, **config)


def remote_tokenizer(folder: Path) -> None:
    (folder / "harm.py").write_text("open('harmed', 'w')\nclass Tokenizer: ...\n", "utf-8")
    edit(
        folder / "tokenizer_config.json",
        auto_map={"AutoTokenizer": ["harm.Tokenizer", None]},
        tokenizer_class="Tokenizer",
    )


def no_tokenizer(folder: Path) -> None:
    for path in [*folder.glob("*token*"), *folder.glob("vocab*")]:
        path.unlink()


def not_a_number(folder: Path) -> None:
    state = safetensors.numpy.load_file(folder / "model.safetensors")
    first = next(name for name in state if name.endswith("LayerNorm.weight"))
    state[first] = np.full_like(state[first], np.nan)
    safetensors.numpy.save_file(state, folder / "model.safetensors", {"format": "pt"})


MODELS: dict[str, tuple[Callable[[Path], object], str]] = {
    "weights that are a pickle": (pickled, "reads no pickled weights"),
    "an architecture of its own code": (
        lambda at: remote_code(at, model_type="harm"),
        "cannot be loaded as an encoder",
    ),
    "no tokenizer": (no_tokenizer, "tokenizer"),
    "a tokenizer that is no JSON": (lambda at: (at / "tokenizer.json").write_text("{", "utf-8"), "cannot be loaded"),
    "a configuration that is no JSON": (
        lambda at: (at / "config.json").write_text("[" * 9999, "utf-8"),
        "cannot be loaded",
    ),
    "a configuration that is a list": (lambda at: (at / "config.json").write_text("[]", "utf-8"), "cannot be loaded"),
    "a billion hidden units": (lambda at: edit(at / "config.json", hidden_size=10**9), "cannot be loaded"),
    "a negative vocabulary": (lambda at: edit(at / "config.json", vocab_size=-1), "cannot be loaded"),
    "weights that were cut": (lambda at: cut(at / "model.safetensors"), "cannot be loaded"),
    "weights whose header is endless": (lambda at: endless_header(at / "model.safetensors"), "cannot be loaded"),
    "weights that are not numbers": (not_a_number, "non-finite values"),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with rows that are prepared."""
    project = make_project(tmp_path_factory.mktemp("models") / "project")
    lines = "".join(f"{'love' if row % 2 else 'hate'} {row},{'ab'[row % 2]}\n" for row in range(60))
    (project / "data/reviews.csv").write_text("text,category\n" + lines, "utf-8")
    stage(project, "prepare")
    return project


@pytest.fixture
def model(prepared: Path, tiny_encoder: Path, tmp_path: Path) -> Path:
    """A model folder that the project is set to, to be harmed."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_encoder, folder)
    set_params(prepared, backbone__name=str(folder), backbone__revision=None, extract__max_length=16)
    return folder


@pytest.mark.parametrize(("case", "way"), ways(MODELS, slow=["a billion hidden units"]))
def test_models_that_are_refused(prepared: Path, model: Path, case: str, way: Way) -> None:
    harm, words = MODELS[case]
    harm(model)
    try:
        refused(way(prepared, "extract"), words)
        assert not (prepared / "harmed").exists() and not (prepared / "data/features").exists()
    finally:
        shutil.rmtree(prepared / "data/features", ignore_errors=True)


@pytest.mark.parametrize("harm", [remote_code, remote_tokenizer])
def test_code_beside_a_model_is_not_run(prepared: Path, model: Path, harm: Callable[[Path], None]) -> None:
    harm(model)
    done = here(prepared, "extract")
    assert done.returncode == 0, done.stderr
    assert not (prepared / "harmed").exists()
    shutil.rmtree(prepared / "data/features")
