"""Tensors of other types in the files of weights."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from stages import backbones
from stages.backbones import encoder
from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams
from stages.finetuning import classifier
from stages.heads import linear_layer, loading
from tests.finetuning.recipes import fresh, settings

OTHER = ["int32", "uint8", "bool", "complex64", "float8_e4m3fn"]
WEIGHT = "encoder.layer.0.attention.self.query.weight"


def with_type(tiny_encoder: Path, folder: Path, name: str, kind: str) -> Path:
    state = safetensors.torch.load_file(tiny_encoder / encoder.WEIGHTS_FILE)
    state[name] = state.get(name, torch.ones(2)).to(getattr(torch, kind))
    folder.mkdir()
    for path in tiny_encoder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    safetensors.torch.save_file(state, folder / encoder.WEIGHTS_FILE, {"format": "pt"})
    return folder


def load(name: Path, weights: str = "pretrained") -> None:
    spec = BackboneParams(family="transformers", name=str(name), weights=weights)
    backbones.load(spec, ExtractParams(max_length=16), RuntimeParams(device="cpu"), modality="text")


@pytest.mark.parametrize("kind", OTHER)
def test_weights_that_are_no_floats_are_refused(tiny_encoder: Path, tmp_path: Path, kind: str) -> None:
    model = with_type(tiny_encoder, tmp_path / "model", WEIGHT, kind)
    words = rf"model\.safetensors holds {WEIGHT} of type \w+, but weights must be F16, BF16, F32 or F64"
    with pytest.raises(HeadstartError, match=words):
        load(model)
    with pytest.raises(HeadstartError, match=words):
        load(tiny_encoder, str(model / encoder.WEIGHTS_FILE))


@pytest.mark.parametrize(("name", "kind"), [(WEIGHT, "bfloat16"), (WEIGHT, "float64"), ("some.position_ids", "int64")])
def test_all_floats_and_other_tensors_of_whole_numbers_are_taken(
    tiny_encoder: Path, tmp_path: Path, name: str, kind: str
) -> None:
    load(with_type(tiny_encoder, tmp_path / "model", name, kind))


@pytest.mark.parametrize("kind", [*OTHER, "bfloat16", "float16"])
def test_a_layer_of_another_type_is_refused(tmp_path: Path, kind: str) -> None:
    tensors = {"weight": torch.ones(2, 3).to(getattr(torch, kind)), "bias": torch.ones(2)}
    safetensors.torch.save_file(tensors, tmp_path / linear_layer.FILE)
    with pytest.raises(HeadstartError, match=r"linear\.safetensors cannot be read"):
        linear_layer.read(tmp_path)


@pytest.mark.parametrize(
    ("weight", "bias"),
    [(np.ones((2, 3)), np.array([1, np.inf])), (np.full((2, 3), np.nan), np.ones(2)), (np.ones(3), np.ones(2))],
)
def test_a_layer_that_is_not_finite_or_of_other_dimensions_is_refused(
    tmp_path: Path, weight: np.ndarray, bias: np.ndarray
) -> None:
    linear_layer.write(tmp_path, weight, bias)
    with pytest.raises(HeadstartError, match=r"linear\.safetensors cannot be read \((weight|bias) "):
        linear_layer.read(tmp_path)


def test_probabilities_that_are_not_finite_are_no_result(tiny_encoder: Path) -> None:
    with pytest.raises(HeadstartError, match="data/head gives probabilities that are not finite"):
        loading.finite(np.array([[0.5, np.nan]]), "data/head")
    network: classifier.Classifier = fresh("text", tiny_encoder, settings())
    with torch.no_grad():
        network.encoder.body.embeddings.word_embeddings.weight.fill_(torch.nan)
    with pytest.raises(HeadstartError, match="the fine-tuned model gives probabilities that are not finite"):
        network.probabilities(["i love this"])
