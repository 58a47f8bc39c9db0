"""Graphs of backbones compute what the backbones do: poolings, steps, pairs, families and architectures."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer import modules

from stages import backbones
from stages.backbones import pixels, timm, torchvision
from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, ExtractParams, Modality, RuntimeParams
from stages.exporting import checking, graph
from stages.tables import images
from tests.backbones import architectures, timm_backbones
from tests.backbones.test_recipe import declare
from tests.conftest import Once
from tests.exporting import graphs
from tests.pictures import png
from tests.projects import WORDS, make_tiny_encoder

CPU = RuntimeParams(device="cpu")
TEXTS = [" ".join(np.random.default_rng(length).choice(WORDS, length)) for length in (1, 2, 3, 7, 12, 30, 80, 3)]
PICTURES = [png(number, (50, 40)) for number in range(3)] + [png(9, (30, 80))]


def spec(name: object, family: str = "transformers", weights: str = "pretrained") -> BackboneParams:
    return BackboneParams(family=family, name=str(name), weights=weights, revision=None)


def check(folder: Path, name: object, contents: list[Any], modality: Modality = "text", **settings: Any) -> None:
    backbone = backbones.load_encoder(spec(name), ExtractParams(**settings), CPU, modality)
    by_run, expected = graphs.both(folder, backbone, spec(name), contents)
    np.testing.assert_allclose(by_run, expected, atol=1e-4)


@pytest.fixture(scope="module")
def short_encoder(once: Once) -> Path:
    """A BERT of one layer: a second is traced in the same way, and takes seconds."""
    return once("short-encoder", partial(make_tiny_encoder, num_hidden_layers=1))


@pytest.mark.slow
def test_steps_and_a_prompt_that_is_not_pooled(tmp_path: Path, short_encoder: Path) -> None:
    steps = (modules.Dense(96, 16), modules.LayerNorm(16), modules.Dense(16, 8, use_residual=True), modules.Normalize())
    pooling = modules.Pooling(32, ("cls", "max", "mean"), include_prompt=False)
    folder = declare(short_encoder, tmp_path / "model", pooling, *steps, prompts={"query": "the best "})
    check(tmp_path / "out", folder, TEXTS, prompt="query", max_length=20)


@pytest.mark.slow
def test_poolings_side_by_side(tmp_path: Path, short_encoder: Path) -> None:
    pooling = modules.Pooling(32, ("weightedmean", "lasttoken", "mean_sqrt_len_tokens"))
    check(tmp_path / "out", declare(short_encoder, tmp_path / "model", pooling), TEXTS)


@pytest.mark.slow
def test_pairs(tmp_path: Path, short_encoder: Path) -> None:
    check(tmp_path / "out", short_encoder, list(zip(TEXTS, TEXTS[::-1], strict=True)), combine="pair", max_length=21)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("albert", "bart", "clip-text", "deberta-v2", "distilbert", "electra", "gpt2", "modernbert", "mpnet"),
        *("nomic-bert", "qwen2", "roberta", "roformer", "t5"),
    ],
)
def test_architectures_of_texts(tmp_path: Path, name: str) -> None:
    # ModernBERT attends to all tokens and to near ones by turns, T5 takes the positions of its first layer again;
    # BART and Qwen2 describe their layers in more than one setting.
    layers = 2 if name in ("bart", "modernbert", "qwen2", "t5") else 1
    check(tmp_path / "out", architectures.make(tmp_path / "model", name, layers=layers), TEXTS, max_length=60)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["convnext", "dinov2", "resnet", "swin", "vit"])
def test_architectures_of_images(tmp_path: Path, name: str) -> None:
    backbone: Any = backbones.load_encoder(
        spec(architectures.make(tmp_path / "model", name)), ExtractParams(), CPU, "image"
    )
    check_pictures(tmp_path / "out", backbone, spec("a"))


@pytest.mark.parametrize("family", ["pixels", pytest.param("torchvision", marks=pytest.mark.slow)])
@pytest.mark.parametrize("normalize", [False, True])
def test_families_of_images(tmp_path: Path, family: str, normalize: bool) -> None:
    settings = ExtractParams(image_size=32, normalize=normalize)
    if family == "pixels":
        described = spec("rgb", family)
        by_run, expected = graphs.both(tmp_path / "out", pixels.load(described, settings), described, PICTURES)
        np.testing.assert_allclose(by_run, expected, atol=1e-5)
        return
    described = spec("squeezenet1_1", family, "random")
    check_pictures(tmp_path / "out", torchvision.load(described, settings, CPU), described)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["test_efficientnet", "test_vit", "levit_128s"])
def test_models_of_timm(tmp_path: Path, name: str) -> None:
    described = spec(timm_backbones.make_folder(tmp_path / "model", name), "timm")
    check_pictures(tmp_path / "out", timm.load(described, ExtractParams(), CPU), described)


def check_pictures(folder: Path, backbone: Any, described: BackboneParams) -> None:
    """Compare on the backbone's own pixels, as export does; raises an error where they differ."""
    _, expected = graphs.both(folder, backbone, described, PICTURES)
    model = checking.load(folder, "model.onnx")
    own = {content: np.asarray(backbone.preprocessing(images.decode_prepared(content))) for content in PICTURES}
    checking.check(model, PICTURES, expected, own.__getitem__, scale=1.0)


class Branching(torch.nn.Module):
    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return batch["counts"] if batch["counts"].sum() > 0 else -batch["counts"]


def test_a_network_that_cannot_be_traced_is_refused_in_one_sentence() -> None:
    network = Branching()
    layer = (np.ones((2, 3)), np.zeros(2))
    whole = graph.Graph(network, network, [layer], names=["counts"], dtype="float32")
    with pytest.raises(
        HeadstartError, match=r"a model cannot be traced as one ONNX graph \(.*; use another model"
    ) as error:
        graph.trace(whole, {"counts": torch.ones(2, 3)}, lengths=False, name="a model")
    assert "\n" not in str(error.value) and "Create an issue" not in str(error.value)
