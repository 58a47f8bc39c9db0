"""Folders of pretrained weights that are hostile."""

import json
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


def module(folder: Path) -> None:
    """A Python file in the folder that shows when it is run."""
    (folder / "harm.py").write_text("open('harmed', 'w')\nclass Model: ...\nclass Tokenizer: ...\n", "utf-8")


def configured(file: str, **changes: Any) -> Callable[[Path], None]:
    """Code beside the model, and a configuration that names it."""

    def harm(folder: Path) -> None:
        module(folder)
        if not (folder / file).exists():
            (folder / file).write_text("{}", "utf-8")
        edit(folder / file, **changes)

    return harm


def light_glue(folder: Path) -> None:
    """CVE-2026-5241: the model allows its own code in the configuration of a part, which lies in another folder."""
    part = folder / "part"
    part.mkdir()
    module(part)
    auto_map = {"AutoConfig": "harm.Model"}
    (part / "config.json").write_text(json.dumps({"model_type": "harm", "auto_map": auto_map}), "utf-8")
    detector = {"model_type": "harm", "_name_or_path": str(part)}
    edit(folder / "config.json", model_type="lightglue", keypoint_detector_config=detector, trust_remote_code=True)


def weights_elsewhere(folder: Path) -> None:
    outside = folder.parent / "outside.safetensors"
    (folder / "model.safetensors").rename(outside)
    (folder / "other.safetensors").write_bytes(b"")
    names = safetensors.numpy.load_file(outside)
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, "../outside.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")


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
        configured("config.json", model_type="harm", auto_map={"AutoConfig": "harm.Model"}),
        "config.json sets auto_map to {'AutoConfig': 'harm.Model'}, which lets a model run code of its own",
    ),
    "a part with its own code (CVE-2026-5241)": (light_glue, "config.json sets trust_remote_code to True"),
    "attention from the hub (CVE-2026-4372)": (
        configured("config.json", _attn_implementation_internal="owner/kernel"),
        "sets _attn_implementation_internal to 'owner/kernel', which names code that transformers would download",
    ),
    "attention of a part from the hub": (
        configured("config.json", text_config={"attn_implementation": {"": "sdpa", "x": "owner/kernel@main:f"}}),
        "sets attn_implementation to",
    ),
    "kernels of its own": (configured("config.json", kernel_config={"mapping": {}}), "sets kernel_config"),
    "a tokenizer of its own code": (
        configured("tokenizer_config.json", auto_map={"AutoTokenizer": ["harm.Tokenizer", None]}),
        "tokenizer_config.json sets auto_map",
    ),
    "a tokenizer that writes elsewhere (CVE-2026-9856)": (
        configured("tokenizer_config.json", chat_template=[{"name": "../../harmed", "template": "x"}]),
        "tokenizer_config.json sets chat_template name to '../../harmed'",
    ),
    "a processor of its own code": (
        configured("preprocessor_config.json", auto_map={"AutoImageProcessor": "harm.Model"}),
        "preprocessor_config.json sets auto_map",
    ),
    "an adapter that imports a module": (
        configured("adapter_config.json", peft_type="LORA", megatron_config={"a": 1}, megatron_core="harm"),
        "adapter_config.json is an adapter, but backbone.name must be a whole model",
    ),
    "weights outside of the folder": (weights_elsewhere, "sets weight_map to '../outside.safetensors'"),
    "a configuration of ten thousand brackets in another file": (
        lambda at: (at / "generation_config.json").write_text("[" * 9999, "utf-8"),
        "generation_config.json cannot be loaded as JSON",
    ),
    "tokens that are no JSON": (lambda at: (at / "my_tokens.json").write_text("{", "utf-8"), "cannot be loaded"),
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


def test_configurations_that_name_no_code_are_taken(prepared: Path, model: Path) -> None:
    edit(model / "config.json", auto_map={}, trust_remote_code=False, _attn_implementation="eager")
    edit(model / "tokenizer_config.json", auto_map={}, chat_template=[{"name": "default", "template": "x"}])
    (model / "vocab.json").write_text('{"auto_map": 1, "trust_remote_code": 2}', "utf-8")
    (model / "extra_tokens.json").write_text("[]", "utf-8")
    done = here(prepared, "extract")
    assert done.returncode == 0, done.stderr
    shutil.rmtree(prepared / "data/features")
