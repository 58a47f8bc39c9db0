"""Models of timm as encoders."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from torch import nn

from stages import backbones
from stages.backbones.image import ImageEncoder
from stages.common.errors import HeadstartError
from stages.common.params import FinetuneParams
from stages.tables import images
from tests.backbones.image_backbones import CPU, PHOTOS, load, settings
from tests.backbones.model_hub import COMMIT, hub_with
from tests.backbones.timm_backbones import SMALL, edit, make_folder, network, spec
from tests.conftest import Once


@pytest.fixture
def folder(once: Once) -> Path:
    """A small ResNet in the format of timm's models on the hub. Not to be changed."""
    return once("timm-resnet", lambda folder: make_folder(folder, "test_resnet"))


def timms_own(folder: Path, **options: Any) -> tuple[Any, Any]:
    """The model and the transform that timm makes for a folder, with all of its weights."""
    model = timm.create_model(f"local-dir:{folder}", pretrained=True, **options).eval()
    return model, timm.data.create_transform(**timm.data.resolve_model_data_config(model))


@pytest.mark.parametrize("architecture", SMALL)
def test_vectors_are_what_timms_own_classifier_gets(architecture: str, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model", architecture)
    encoder = load(spec(str(folder)), settings(image_size=None), CPU)
    model, transform = timms_own(folder)
    pixels = torch.stack([transform(images.decode(photo)) for photo in PHOTOS])
    torch.testing.assert_close(
        torch.stack([encoder.preprocessing(images.decode(photo)) for photo in PHOTOS]), pixels, rtol=0, atol=0
    )
    with torch.inference_mode():
        wanted = model.forward_head(model.forward_features(pixels), pre_logits=True).numpy()
    assert encoder.dim == wanted.shape[1]
    np.testing.assert_allclose(encoder.encode(PHOTOS), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        "resnet50.a1_in1k",
        "vit_base_patch16_clip_224.openai",
        "efficientnet_b3",
        "eva02_tiny_patch14_336.mim_in22k_ft_in1k",
    ],
)
def test_the_preprocessing_is_that_of_the_weights(name: str) -> None:
    from stages.backbones import timm_models
    from stages.backbones.timm import Transform

    model = timm_models.find(name, None)
    transform = Transform(model, name)
    values = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    picture = images.decode(PHOTOS[0]).resize((500, 375))
    assert transform.size == values["input_size"][1]
    assert torch.equal(transform(picture), timm.data.create_transform(**values)(picture))
    larger = Transform(model.resized(2 * transform.size), name)
    values["input_size"] = (3, 2 * transform.size, 2 * transform.size)
    assert torch.equal(larger(picture), timm.data.create_transform(**values)(picture)), "sizes scale in proportion"


@pytest.mark.parametrize("architecture", ["test_vit", "swin_tiny_patch4_window7_224", "test_efficientnet"])
def test_another_image_size(architecture: str, tmp_path: Path) -> None:
    """Position embeddings are interpolated as timm does it."""
    folder = make_folder(tmp_path / "model", architecture)
    size = 128
    encoder = load(spec(str(folder)), settings(image_size=size), CPU)
    fixed = {} if architecture == "test_efficientnet" else {"img_size": size}
    model, _ = timms_own(folder, num_classes=0, **fixed)
    pixels = torch.rand(2, 3, size, size)
    with torch.inference_mode():
        torch.testing.assert_close(encoder(pixels), model(pixels))
    assert encoder.preprocessing.size == size
    assert encoder.fingerprint != load(spec(str(folder)), settings(image_size=None), CPU).fingerprint


def test_a_vector_does_not_depend_on_what_it_is_encoded_with(folder: Path) -> None:
    encoder = load(spec(str(folder)), settings(), CPU)
    together = encoder.encode(PHOTOS)
    np.testing.assert_array_equal(together[-1], encoder.encode(PHOTOS[-1:])[0])
    np.testing.assert_array_equal(together, encoder.encode(PHOTOS[::-1])[::-1])


def test_random_weights_are_seeded_and_fingerprints_tell_backbones_apart(folder: Path, tmp_path: Path) -> None:
    chosen = spec(weights="random")
    first, again = (load(chosen, settings(), CPU) for _ in range(2))
    np.testing.assert_array_equal(first.encode(PHOTOS), again.encode(PHOTOS))
    other = make_folder(tmp_path / "other", "test_resnet")
    content = json.loads((other / "config.json").read_text("utf-8"))
    edit(other, pretrained_cfg={**content["pretrained_cfg"], "mean": [0.4, 0.4, 0.4]})
    others = [
        load(spec("test_efficientnet", weights="random"), settings(), CPU),
        load(chosen, settings(image_size=72), CPU),
        load(chosen, settings(normalize=True), CPU),
        load(chosen, settings(dtype="float32"), CPU),
        load(spec(str(folder)), settings(), CPU),
        load(spec(str(other)), settings(), CPU),
    ]
    assert first.fingerprint == again.fingerprint
    assert len({encoder.fingerprint for encoder in [first, *others]}) == 7


def test_weights_from_a_file_fit_strictly(folder: Path, tmp_path: Path) -> None:
    """With a classifier of any number of classes, but every other tensor must be there."""
    file = tmp_path / "weights.safetensors"
    state = {**safetensors.torch.load_file(folder / "model.safetensors"), "fc.weight": torch.ones(7, 96)}
    safetensors.torch.save_file(state, file)
    of_file = load(spec("test_resnet", weights=str(file)), settings(), CPU)
    np.testing.assert_array_equal(of_file.encode(PHOTOS), load(spec(str(folder)), settings(), CPU).encode(PHOTOS))
    extra = {**state, "layer9.weight": torch.ones(1), "bn1.weight": torch.ones(3)}
    del extra["layer1.0.conv1.weight"]
    safetensors.torch.save_file(extra, file)
    with pytest.raises(
        HeadstartError,
        match=r"lacks layer1\.0\.conv1\.weight and has unexpected layer9\.weight and has another shape for bn1\.weight",
    ):
        load(spec("test_resnet", weights=str(file)), settings(), CPU)


def test_weights_from_before_timm_renamed_layers_fit(tmp_path: Path) -> None:
    """By the conversion that timm itself applies: Swin's first weights had masks, and downsampled one stage earlier."""
    folder = make_folder(tmp_path / "model", "swin_tiny_patch4_window7_224")
    wanted = load(spec(str(folder)), settings(image_size=None), CPU).encode(PHOTOS)
    path = folder / "model.safetensors"
    state = safetensors.torch.load_file(path)
    old = {
        name.replace("layers.1.downsample", "layers.0.downsample").replace("head.fc", "head"): tensor
        for name, tensor in state.items()
    }
    safetensors.torch.save_file({**old, "layers.0.blocks.0.attn_mask": torch.zeros(2)}, path)
    np.testing.assert_array_equal(load(spec(str(folder)), settings(image_size=None), CPU).encode(PHOTOS), wanted)
    del old["layers.0.downsample.norm.weight"]
    safetensors.torch.save_file(old, path)
    with pytest.raises(HeadstartError, match=r"lacks layers\.1\.downsample\.norm\.weight;"):
        load(spec(str(folder)), settings(image_size=None), CPU)


def test_models_of_timm_come_from_the_hub_by_its_name_for_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = load(spec(str(folder)), settings(), CPU)
    with hub_with("timm/test_resnet.r160_in1k", folder, monkeypatch) as asked:
        loaded = load(spec("test_resnet.r160_in1k"), settings(), CPU)
    np.testing.assert_array_equal(loaded.encode(PHOTOS), wanted.encode(PHOTOS))
    assert not [path for path in asked if path.endswith(".bin")]
    asked.clear()
    for name in ("test_resnet", "hf_hub:timm/test_resnet.r160_in1k", "timm/test_resnet.r160_in1k"):
        cached = load(spec(name, revision=COMMIT), settings(), CPU)  # from the cache, without a hub
        np.testing.assert_array_equal(cached.encode(PHOTOS), wanted.encode(PHOTOS))


def test_without_a_network_one_error_says_what_to_do() -> None:
    with pytest.raises(HeadstartError) as error:
        load(spec("test_resnet.r160_in1k"), settings(), CPU)
    for words in (
        "cannot be downloaded",
        "hf download timm/test_resnet.r160_in1k",
        "set backbone.name to its path",
        "lite0.pypi needs no",
    ):
        assert words in str(error.value)


def test_without_timm_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(HeadstartError, match=r"timm, which is not installed; pip install -e '\.\[timm\]'"):
        load(spec(weights="random"), settings(), CPU)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "resnet5O"}, "is not a model of timm; did you mean resnet50"),
        ({"name": "resnet50.a9_in1k"}, "is not a model of timm; did you mean resnet50\\."),
        ({"name": "Qx"}, "is not a model of timm; resnet50 and tf_efficientnet_lite0.pypi are two of them"),
        ({"name": "gcvit_tiny"}, "timm has no weights of gcvit_tiny on the hub"),
        ({"weights": "absent.pth"}, r"must be pretrained, random or a \.safetensors file"),
        ({"name": "vit_base_patch16_sapiens2.fb", "weights": "random"}, "is for images of 768 x 1024 pixels"),
        ({"name": "data/pretrained/absent"}, "cannot be a name on the hub"),
    ],
)
def test_backbones_that_cannot_be_are_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(HeadstartError, match=message):
        load(spec(**changes), settings(image_size=None), CPU)


def test_a_size_that_a_model_cannot_take_is_refused() -> None:
    with pytest.raises(HeadstartError, match=r"images of 8 x 8 pixels"):
        load(spec("test_vit", weights="random"), settings(image_size=8), CPU)


CONFIGURATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "no architecture": ({"architecture": None}, "names the architecture None, which timm does not have"),
    "another library": ({"architecture": "ResNetModel"}, "set backbone.family to transformers if"),
    "code": ({"auto_map": {"AutoModel": "harm.Model"}}, "sets auto_map to"),
    "a checkpoint to load": ({"model_args": {"checkpoint_path": "harm.pth"}}, "sets model_args to"),
    "weights to download": ({"model_args": {"pretrained": True}}, "sets model_args to"),
    "other weights": ({"model_args": {"pretrained_cfg_overlay": {"file": "harm.pth"}}}, "sets model_args to"),
    "a list of arguments": ({"model_args": [1]}, "sets model_args to"),
    "an argument that there is not": ({"model_args": {"harm": 1}}, "cannot be built by timm"),
    "one channel": ({"pretrained_cfg": {"input_size": [1, 64, 64]}}, "input_size.0 is 1, but must be one of 3"),
    "no numbers": ({"pretrained_cfg": {"mean": ["a", 0, 0]}}, "mean.0 is 'a', but must be a valid number"),
    "a deviation of zero": ({"pretrained_cfg": {"std": [0, 1, 1]}}, "std.0 is 0, but must be greater than 0"),
    "a crop of nothing": ({"pretrained_cfg": {"crop_pct": 1e-9}}, "crop_pct is 1e-09, but must be greater"),
    "an interpolation of its own": ({"pretrained_cfg": {"interpolation": "harm"}}, "must be one of 'nearest'"),
    "a list": ({"pretrained_cfg": []}, "must be a mapping"),
    "a million pixels": ({"pretrained_cfg": {"input_size": [3, 10**6, 10**6]}}, "must be less than or equal to"),
}


@pytest.mark.parametrize("case", CONFIGURATIONS)
def test_a_configuration_that_is_wrong_is_one_sentence(case: str, folder: Path, tmp_path: Path) -> None:
    changes, message = CONFIGURATIONS[case]
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    edit(tmp_path, **changes)
    with pytest.raises(HeadstartError) as error:
        load(spec(str(tmp_path)), settings(image_size=None), CPU)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_weights_that_are_a_pickle_are_not_read(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    torch.save(network("test_resnet").state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(HeadstartError, match="reads no pickled weights"):
        load(spec(str(tmp_path)), settings(), CPU)
    (tmp_path / "config.json").unlink()
    with pytest.raises(HeadstartError, match=r"holds no config\.json"):
        load(spec(str(tmp_path)), settings(), CPU)


@pytest.mark.parametrize("architecture", SMALL)
def test_an_encoder_comes_back_from_disk_and_timm_reads_it_too(architecture: str, tmp_path: Path) -> None:
    source = make_folder(tmp_path / "model", architecture)
    encoder = load(spec(str(source)), settings(image_size=64), CPU)
    assert isinstance(encoder, ImageEncoder)
    target = tmp_path / "finetuned"
    target.mkdir()
    encoder.export(target)
    loaded = backbones.load_finetuned(target, spec(str(source)), settings(image_size=64), CPU, "image")
    np.testing.assert_array_equal(loaded.encode(PHOTOS), encoder.encode(PHOTOS))
    model, transform = timms_own(target)
    pixels = torch.stack([transform(images.decode(photo)) for photo in PHOTOS])
    with torch.inference_mode():
        torch.testing.assert_close(model(pixels), encoder(pixels))


@pytest.mark.parametrize(
    ("batch_norm", "from_random", "moves"), [("auto", False, False), ("auto", True, True), ("train", False, True)]
)
@pytest.mark.parametrize("architecture", ["test_resnet", "test_efficientnet"])
def test_batch_norm_statistics_are_frozen_on_purpose(
    architecture: str, batch_norm: Any, from_random: bool, moves: bool
) -> None:
    """In torch's own layers, and in timm's, which include the activation."""
    encoder = load(spec(architecture, weights="random"), settings(), CPU)
    encoder.prepare_training(FinetuneParams(method="full", batch_norm=batch_norm), from_random=from_random)
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [module.running_mean.clone() for module in norms]
    encoder.train()
    encoder(encoder.training_batch(PHOTOS)).sum().backward()
    changed = [not torch.equal(old, new.running_mean) for old, new in zip(before, norms, strict=True)]
    assert len(changed) > 4 and (all(changed) if moves else not any(changed))
