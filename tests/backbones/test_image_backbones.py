"""torchvision's models, vision encoders of transformers, and raw pixels."""

import contextlib
import functools
import io
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
import transformers
from PIL import Image, ImageOps
from torch import nn

from stages import backbones
from stages.backbones.image import IMAGES_PER_BATCH_CPU, ImageEncoder
from stages.backbones.torchvision import without_classifier
from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, ExtractParams, FinetuneParams, RuntimeParams
from stages.tables import images
from tests.conftest import ROOT
from tests.sources.test_image_folders import png

CPU = RuntimeParams(device="cpu")
load = functools.partial(backbones.load, modality="image")
PHOTOS = [png(number, (50, 40)) for number in range(5)]
MODELS = torchvision.models.list_models(module=torchvision.models)


def spec(name: str = "squeezenet1_1", **changes: Any) -> BackboneParams:
    return BackboneParams(**{"family": "torchvision", "name": name, "weights": "random", **changes})


def settings(**changes: Any) -> ExtractParams:
    return ExtractParams(**{"image_size": 64, "normalize": False, **changes})


@contextlib.contextmanager
def cheap_initialisers() -> Iterator[None]:
    """Those of torch take minutes for the largest models."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "trunc_normal_", "normal_", "uniform_"):
            patch.setattr(nn.init, name, lambda tensor, *_, **__: tensor)
        yield


def cheap_random_(model: nn.Module) -> None:
    """Random weights of a size that neither vanishes nor explodes; norms stay as they are made."""
    values = torch.randn(100_003, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if tensor.ndim > 1:
                repeats = -(-tensor.numel() // len(values))
                scale = (2 / tensor[0].numel()) ** 0.5
                tensor.copy_((values.repeat(repeats)[: tensor.numel()] * scale).reshape(tensor.shape))
            elif name.endswith("bias"):
                tensor.zero_()


@pytest.mark.parametrize("name", MODELS)
def test_the_features_of_every_model_are_what_its_final_layer_gets(name: str) -> None:
    """On random weights: the final layer, applied to the features, gives the output of the whole model."""
    size = 224 if name.startswith(("swin", "maxvit")) else 56 if name == "vit_h_14" else 96
    options = {"image_size": size} if name.startswith("vit_") else {}
    with cheap_initialisers():
        model = torchvision.models.get_model(name, weights=None, **options).eval()
    cheap_random_(model)
    pixels = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        whole = model(pixels)
        layer = dict(model.named_modules())
        body, final = without_classifier(model)
        features = body(pixels)
        classifier = layer[final]
        if isinstance(classifier, nn.Conv2d):  # SqueezeNet: convolution, ReLU, pooling
            assert name.startswith("squeezenet") and classifier.out_channels == whole.shape[1]
        else:
            torch.testing.assert_close(classifier(features), whole)
    assert features.ndim == 2
    table = {row.split("|")[1].strip(): row for row in (ROOT / "README.md").read_text().splitlines() if "|" in row}
    documented = next(int(row.split("|")[2]) for names, row in table.items() if f"`{name}`" in names)
    assert features.shape[1] == documented


def test_squeezenet_gives_the_pooled_feature_map_and_vgg_the_penultimate_layer() -> None:
    pixels = torch.rand(2, 3, 64, 64)
    for name, wanted in (
        ("squeezenet1_1", lambda model: model.features(pixels).mean(dim=(2, 3))),
        ("vgg11", lambda model: model.classifier[:6](model.avgpool(model.features(pixels)).flatten(1))),
        ("resnet18", lambda model: nn.Sequential(*list(model.children())[:-1])(pixels).flatten(1)),
    ):
        torch.manual_seed(0)
        model = torchvision.models.get_model(name, weights=None).eval()
        with torch.inference_mode():
            vectors = wanted(model)
            body, _ = without_classifier(model)
            torch.testing.assert_close(body(pixels), vectors)


def test_vectors_are_those_of_the_weights_own_preprocessing() -> None:
    encoder = load(spec(), settings(image_size=None), CPU)
    assert isinstance(encoder, ImageEncoder) and encoder.dim == 512
    found = encoder.encode(PHOTOS)
    transform = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.transforms()
    with torch.inference_mode():
        for photo, vector in zip(PHOTOS, found, strict=True):
            wanted = encoder.body(transform(images.decode(photo))[None])[0].numpy()
            np.testing.assert_allclose(vector, wanted, rtol=1e-4, atol=1e-6)
    scaled = load(spec(), settings(image_size=None, normalize=True), CPU).encode(PHOTOS)
    np.testing.assert_allclose(np.linalg.norm(scaled, axis=1), 1, atol=1e-5)


def test_a_vector_does_not_depend_on_what_it_is_encoded_with() -> None:
    encoder = load(spec("resnet18"), settings(), CPU)
    photos = [png(number, (50, 40)) for number in range(IMAGES_PER_BATCH_CPU + 3)]
    together = encoder.encode(photos)
    np.testing.assert_array_equal(together[-1], encoder.encode(photos[-1:])[0])
    np.testing.assert_array_equal(together, encoder.encode(photos[::-1])[::-1])


def test_each_image_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load(spec(), settings(), CPU)
    counted: Counter[bytes] = Counter()
    decode = images.decode
    monkeypatch.setattr(images, "decode", lambda content, **options: counted.update([content]) or decode(content))
    photos = [png(number) for number in range(40)]
    encoder.encode(photos)
    assert counted == Counter(photos)


def test_random_weights_are_seeded_and_fingerprints_tell_backbones_apart() -> None:
    first, again = (load(spec(), settings(), CPU) for _ in range(2))
    np.testing.assert_array_equal(first.encode(PHOTOS), again.encode(PHOTOS))
    others = [
        load(spec("squeezenet1_0"), settings(), CPU),
        load(spec(), settings(image_size=72), CPU),
        load(spec(), settings(normalize=True), CPU),
        load(spec(), settings(dtype="float32"), CPU),
    ]
    found = {each.fingerprint for each in [first, again, *others]}
    assert first.fingerprint == again.fingerprint and len(found) == 5


def saved(tmp_path: Path, state: dict[str, torch.Tensor]) -> str:
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(state, path)
    return str(path)


def test_weights_from_a_file_fit_strictly(tmp_path: Path) -> None:
    torch.manual_seed(5)
    model = torchvision.models.resnet18(num_classes=7)
    state = model.state_dict()
    loaded = load(spec("resnet18", weights=saved(tmp_path, state)), settings(), CPU)
    model.fc = nn.Identity()
    transform = loaded.preprocessing
    with torch.inference_mode():
        wanted = model.eval()(torch.stack([transform(images.decode(photo)) for photo in PHOTOS])).numpy()
    np.testing.assert_allclose(loaded.encode(PHOTOS), wanted, rtol=1e-4, atol=1e-5)
    extra = {**state, "layer9.weight": torch.ones(1), "bn1.weight": torch.ones(3)}
    del extra["layer1.0.conv1.weight"]
    with pytest.raises(
        HeadstartError,
        match=r"lacks layer1\.0\.conv1\.weight and has unexpected layer9\.weight and has another shape for bn1\.weight",
    ):
        load(spec("resnet18", weights=saved(tmp_path, extra)), settings(), CPU)
    with pytest.raises(HeadstartError, match=r"lacks bn1\.bias, .* and \d+ more"):
        load(spec("resnet34", weights=saved(tmp_path, {"fc.weight": torch.ones(2, 512)})), settings(), CPU)


def test_pretrained_weights_come_from_torchvisions_own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("socket.socket.connect", refuse)
    with pytest.raises(HeadstartError) as error:
        load(spec(weights="pretrained"), settings(), CPU)
    target = tmp_path / "hub/checkpoints" / Path(torchvision.models.SqueezeNet1_1_Weights.DEFAULT.url).name
    for words in ("squeezenet1_1 are not on this machine", "download", str(target)):
        assert words in str(error.value)
    target.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(3)
    model = torchvision.models.squeezenet1_1()
    torch.save(model.state_dict(), target)
    found = load(spec(weights="pretrained"), settings(), CPU)
    file = load(spec(weights=saved(tmp_path, model.state_dict())), settings(), CPU)
    np.testing.assert_array_equal(found.encode(PHOTOS), file.encode(PHOTOS))
    assert found.fingerprint == file.fingerprint, "the same weights, whatever file they come from"
    torch.save({"model": nn.Linear(1, 1)}, target)  # a pickle of code
    with pytest.raises(HeadstartError, match="is not the weight file of squeezenet1_1"):
        load(spec(weights="pretrained"), settings(), CPU)


def refuse(*_: object) -> None:
    raise OSError(101, "Network is unreachable")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "resnet19"}, "no classification model of torchvision; did you mean resnet18"),
        ({"name": "fasterrcnn_resnet50_fpn"}, "no classification model of torchvision"),
        ({"weights": "absent.pth"}, r"must be pretrained, random or a \.safetensors file"),
        ({"family": "tfidf", "name": "word"}, "tfidf does not encode image.*use transformers or torchvision or pixels"),
        ({"family": "pixels", "name": "grey"}, "family pixels knows rgb only"),
    ],
)
def test_backbones_that_cannot_be_are_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(HeadstartError, match=message):
        load(spec(**changes), settings(), CPU)


def test_an_image_size_that_a_model_cannot_take_is_refused() -> None:
    with pytest.raises(HeadstartError, match=r"vit_b_32 .* images of 70 x 70 pixels"):
        load(spec("vit_b_32"), settings(image_size=70), CPU)
    with pytest.raises(HeadstartError, match="squeezenet1_1 cannot encode images of 8 x 8 pixels"):
        load(spec(), settings(image_size=8), CPU)


def test_raw_pixels() -> None:
    white, black = Image.new("RGB", (4, 4), "white"), Image.new("RGB", (4, 4), "black")
    contents = []
    for picture in (white, black):
        out = io.BytesIO()
        picture.save(out, "PNG")
        contents.append(out.getvalue())
    found = load(spec("rgb", family="pixels"), settings(image_size=None), CPU).encode(contents)
    assert found.shape == (2, 3 * 32 * 32) and (found[0] == 1).all() and (found[1] == 0).all()
    scaled = load(spec("rgb", family="pixels"), settings(image_size=8, normalize=True), CPU).encode(contents)
    assert scaled.shape == (2, 192) and np.linalg.norm(scaled[0]) == pytest.approx(1) and (scaled[1] == 0).all()


SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
VISION: dict[str, tuple[Any, Any]] = {
    "vit": (transformers.ViTConfig(**SMALL, image_size=32, patch_size=8), transformers.ViTImageProcessor),
    "dinov2": (transformers.Dinov2Config(**SMALL, image_size=32, patch_size=8), transformers.BitImageProcessor),
    "clip": (
        transformers.CLIPConfig(
            text_config={**SMALL, "vocab_size": 64, "bos_token_id": 0, "eos_token_id": 1},
            vision_config={**SMALL, "image_size": 32, "patch_size": 8},
        ),
        transformers.CLIPImageProcessor,
    ),
    "siglip": (
        transformers.SiglipConfig(
            text_config={**SMALL, "vocab_size": 64, "bos_token_id": 0, "eos_token_id": 1},
            vision_config={**SMALL, "image_size": 32, "patch_size": 8},
        ),
        transformers.SiglipImageProcessor,
    ),
    "convnext": (
        transformers.ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1]),
        transformers.ConvNextImageProcessor,
    ),
    "resnet": (
        transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1]),
        transformers.BitImageProcessor,
    ),
}


@pytest.fixture(scope="module")
def vision(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny vision encoders with random weights, saved as save_pretrained does."""
    folders = {}
    for name, (config, processor) in VISION.items():
        folder = tmp_path_factory.mktemp(name)
        torch.manual_seed(0)
        model = transformers.AutoModel.from_config(config)
        model.save_pretrained(folder)
        size = {"height": 32, "width": 32}
        short = name in ("dinov2", "clip", "convnext", "resnet")
        options = {"crop_size": size} if name in ("dinov2", "clip", "resnet") else {}
        processor(size={"shortest_edge": 32} if short else size, **options).save_pretrained(folder)
        folders[name] = folder
    return folders


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize("name", VISION)
def test_vision_encoders_of_transformers(vision: dict[str, Path], name: str, pooling: str) -> None:
    chosen = functools.partial(load, spec(str(vision[name]), family="transformers", weights="pretrained"), runtime=CPU)
    if pooling == "cls" and name in ("siglip", "convnext", "resnet"):
        with pytest.raises(HeadstartError, match="has no class token; use mean or max"):
            chosen(settings(image_size=None, pooling=pooling))
        return
    encoder = chosen(settings(image_size=None, pooling=pooling))
    found = encoder.encode(PHOTOS)
    model = transformers.AutoModel.from_pretrained(vision[name]).eval()
    model = getattr(model, "vision_model", model)
    processor = transformers.AutoImageProcessor.from_pretrained(vision[name])
    with torch.inference_mode():
        pixels = processor([images.decode(photo) for photo in PHOTOS], return_tensors="pt")["pixel_values"]
        hidden = model(pixels).last_hidden_state
    if hidden.ndim == 4:
        hidden = hidden.flatten(2).mT
    wanted = {"mean": hidden.mean(1), "cls": hidden[:, 0], "max": hidden.amax(1)}[pooling].numpy()
    assert encoder.dim == wanted.shape[1]
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(found, chosen(settings(image_size=None, pooling=pooling)).encode(PHOTOS))


@pytest.mark.parametrize("name", ["vit", "clip", "resnet"])
def test_another_image_size(vision: dict[str, Path], name: str) -> None:
    chosen = spec(str(vision[name]), family="transformers", weights="pretrained")
    small, large = (load(chosen, settings(image_size=size), CPU) for size in (32, 64))
    assert (small.preprocessing.size, large.preprocessing.size) == (32, 64)
    assert small.fingerprint != large.fingerprint
    assert np.abs(small.encode(PHOTOS) - large.encode(PHOTOS)).max() > 1e-3


def test_a_text_model_cannot_encode_images_and_the_other_way_round(
    vision: dict[str, Path], tiny_encoder: Path, tmp_path: Path
) -> None:
    with pytest.raises(HeadstartError, match="has no image processor"):
        load(spec(str(tiny_encoder), family="transformers", weights="pretrained"), settings(), CPU)
    with pytest.raises(HeadstartError, match="vit"):
        backbones.load(
            spec(str(vision["vit"]), family="transformers", weights="pretrained"), settings(), CPU, modality="text"
        )
    shutil.copytree(vision["vit"], tmp_path / "odd")
    path = tmp_path / "odd/preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "do_resize": False}))
    with pytest.raises(HeadstartError, match="keeps the shape of images"):
        load(spec(str(tmp_path / "odd"), family="transformers", weights="pretrained"), settings(image_size=None), CPU)


def batch_norms(encoder: ImageEncoder) -> list[nn.Module]:
    return [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]


@pytest.mark.parametrize(
    ("batch_norm", "from_random", "moves"),
    [("auto", False, False), ("auto", True, True), ("frozen", True, False), ("train", False, True)],
)
def test_batch_norm_statistics_are_frozen_on_purpose(batch_norm: Any, from_random: bool, moves: bool) -> None:
    encoder = load(spec("resnet18"), settings(), CPU)
    assert isinstance(encoder, ImageEncoder)
    encoder.prepare_training(FinetuneParams(method="full", batch_norm=batch_norm), from_random=from_random)
    before = [module.running_mean.clone() for module in batch_norms(encoder)]
    encoder.train()
    assert encoder.body.layer1.training
    encoder(encoder.training_batch(PHOTOS)).sum().backward()
    changed = [not torch.equal(old, new.running_mean) for old, new in zip(before, batch_norms(encoder), strict=True)]
    assert all(changed) if moves else not any(changed)
    assert all(module.weight.grad is not None for module in batch_norms(encoder)), "scales and shifts do train"


def test_augmentation_can_be_switched(vision: dict[str, Path]) -> None:
    for chosen in (spec(), spec(str(vision["clip"]), family="transformers", weights="pretrained")):
        encoder = load(chosen, settings(), CPU)
        plain = torch.stack([encoder.preprocessing(images.decode(photo)) for photo in PHOTOS])

        def batch(crop: bool, flip: bool, encoder: ImageEncoder = encoder) -> torch.Tensor:
            torch.manual_seed(0)
            chosen = FinetuneParams(random_resized_crop=crop, horizontal_flip=flip)
            encoder.prepare_training(chosen, from_random=False)
            return encoder.training_batch(PHOTOS * 4)

        four = plain.repeat(4, 1, 1, 1)
        mirrored = torch.stack([encoder.preprocessing(ImageOps.mirror(images.decode(photo))) for photo in PHOTOS * 4])
        torch.testing.assert_close(batch(False, False), four)
        flipped = batch(False, True)
        turned = (flipped - mirrored).abs().amax(dim=(1, 2, 3)) < 1e-5
        same = (flipped - four).abs().amax(dim=(1, 2, 3)) < 1e-5
        assert (turned | same).all() and 4 <= turned.sum() <= 16
        cropped = batch(True, False)
        assert cropped.shape == four.shape and (cropped - four).abs().amax(dim=(1, 2, 3)).min() > 1e-3
        torch.testing.assert_close(cropped, batch(True, False))
