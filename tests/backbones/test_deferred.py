"""Encoders whose network is loaded only when a vector must be computed."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages import backbones
from stages.backbones import deferred
from stages.backbones.deferred import DeferredEncoder
from stages.common import cache_folder, package
from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, ExtractParams, Modality, RuntimeParams
from tests.backbones.timm_backbones import make_folder
from tests.pictures import png

CPU = RuntimeParams(device="cpu")
SMALL = ExtractParams(max_length=16, image_size=64)
INPUTS: dict[Modality, list[Any]] = {"text": ["i love this", "awful"], "image": [png(0, (40, 40)), png(1, (40, 40))]}


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the networks that are loaded from now on."""
    names: list[str] = []
    real = backbones.load_encoder
    monkeypatch.setattr(backbones, "load_encoder", lambda spec, *rest: (names.append(spec.name), real(spec, *rest))[1])
    return names


@pytest.fixture
def encoder_folder(tmp_path: Path, tiny_encoder: Path) -> Path:
    return Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))


def load(spec: BackboneParams, settings: ExtractParams = SMALL, modality: Modality = "text") -> Any:
    return deferred.load(spec, settings, CPU, modality=modality)


def text_spec(folder: Path, **changes: Any) -> BackboneParams:
    return BackboneParams(**{"family": "transformers", "name": str(folder), **changes})


def specs(family: str, tiny_encoder: Path, tmp_path: Path) -> tuple[BackboneParams, Modality]:
    """A small backbone of a family."""
    if family == "transformers":
        return text_spec(tiny_encoder), "text"
    if family == "torchvision":
        return BackboneParams(family="torchvision", name="squeezenet1_1", weights="random"), "image"
    (tmp_path / "timm").mkdir(exist_ok=True)
    return BackboneParams(family="timm", name=str(make_folder(tmp_path / "timm", "test_vit"))), "image"


@pytest.mark.parametrize("family", ["transformers", "torchvision", "timm"])
def test_a_described_encoder_is_the_same_and_loads_nothing_until_it_encodes(
    family: str, tiny_encoder: Path, tmp_path: Path, loads: list[str]
) -> None:
    spec, modality = specs(family, tiny_encoder, tmp_path)
    settings = SMALL if family != "timm" else SMALL.model_copy(update={"image_size": None})
    now = load(spec, settings, modality)
    later = load(spec, settings, modality)
    assert loads == [spec.name] and isinstance(later, DeferredEncoder)
    names = [*backbones.Backbone.__annotations__, "size_bytes", "device_type"]
    assert [getattr(later, name) for name in names] == [getattr(now, name) for name in names]
    assert loads == [spec.name]
    inputs = INPUTS[modality]
    times = 1 if family == "transformers" else 2  # a BERT is loaded without transformers, see test_light_text.py
    assert np.array_equal(later.encode(inputs), now.encode(inputs)) and loads == [spec.name] * times
    for one, other in zip(later.encode_with_tokens(inputs), now.encode_with_tokens(inputs), strict=True):
        assert np.array_equal(one, other)
    assert len(loads) == times, "the network is loaded once"


def test_whatever_decides_an_encoder_loads_it_again(
    encoder_folder: Path, loads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = text_spec(encoder_folder)
    first = load(spec)
    vocabulary = encoder_folder / "tokenizer.json"
    words = json.loads(vocabulary.read_text("utf-8"))
    words["model"]["vocab"] |= {"love": words["model"]["vocab"]["hate"], "hate": words["model"]["vocab"]["love"]}
    vocabulary.write_text(json.dumps(words), "utf-8")
    fingerprints = {first.fingerprint, load(spec).fingerprint}
    fingerprints.add(load(spec, SMALL.model_copy(update={"pooling": "cls"})).fingerprint)
    fingerprints.add(load(text_spec(encoder_folder, weights="random")).fingerprint)
    fingerprints.add(load(text_spec(encoder_folder, weights=str(encoder_folder / "model.safetensors"))).fingerprint)
    weights = encoder_folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-2] ^= 1
    weights.write_bytes(content)
    fingerprints.add(load(spec).fingerprint)
    assert len(loads) == 6 and len(fingerprints) == 5, "the same weights in another way are the same backbone"
    monkeypatch.setattr(package, "digest", lambda: "other code")
    load(spec)
    monkeypatch.setattr(deferred.metadata, "version", lambda name: "0")
    load(spec)
    assert len(loads) == 8


def test_what_extract_describes_evaluate_finds_by_the_settings_of_the_model_card(
    encoder_folder: Path, loads: list[str]
) -> None:
    now = load(text_spec(encoder_folder), ExtractParams())
    assert now.settings != ExtractParams(), "what is auto was decided"
    later = load(text_spec(encoder_folder), now.settings)
    assert len(loads) == 1 and later.settings == now.settings and later.fingerprint == now.fingerprint


@pytest.mark.parametrize("change", ["", "{", "[]", '{"dim": 3}'])
def test_a_damaged_description_is_written_again(encoder_folder: Path, loads: list[str], change: str) -> None:
    load(text_spec(encoder_folder))
    path = deferred._path(text_spec(encoder_folder), SMALL, "text")
    assert path
    whole = path.read_text("utf-8")
    path.write_text(change or whole.replace('"dim": 32', '"dim": 33'), "utf-8")
    load(text_spec(encoder_folder))
    assert len(loads) == 2 and path.read_text("utf-8") == whole
    load(text_spec(encoder_folder))
    assert len(loads) == 2


def test_files_that_change_during_a_run_are_an_error(encoder_folder: Path) -> None:
    load(text_spec(encoder_folder))
    later = load(text_spec(encoder_folder))
    config = encoder_folder / "config.json"
    config.write_text(config.read_text("utf-8").replace('"hidden_act": "gelu"', '"hidden_act": "relu"'), "utf-8")
    with pytest.raises(HeadstartError, match=r"encoder or the devices changed during the run; run it again"):
        later.encode(["a text"])


def test_a_model_that_is_gone_is_an_error_as_before(encoder_folder: Path) -> None:
    load(text_spec(encoder_folder))
    (encoder_folder / "model.safetensors").unlink()
    with pytest.raises(HeadstartError, match=r"holds no \*\.safetensors"):
        load(text_spec(encoder_folder))


def test_without_a_folder_to_write_the_network_is_loaded_every_time(
    encoder_folder: Path, loads: list[str], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("not a folder", "utf-8")
    assert load(text_spec(encoder_folder)).dim == load(text_spec(encoder_folder)).dim == 32
    assert len(loads) == 2


def test_names_that_only_timm_can_look_up_are_loaded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbones, "load", lambda spec, *rest, **options: spec.name)
    for name in ("resnet50.a1_in1k", "owner/model", "hf-hub:owner/model"):
        assert load(BackboneParams(family="timm", name=name), modality="image") == name
    assert not cache_folder.entries("backbones")
