"""Models of torchvision as encoders."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

from stages.backbones.image import IMAGES_PER_BATCH_CPU, ImageEncoder
from stages.common.errors import HeadstartError
from stages.tables import images
from tests.backbones.image_backbones import CPU, PHOTOS, load, settings, spec
from tests.pictures import png
from tests.projects import ROOT


def test_vectors_are_those_of_the_weights_own_preprocessing() -> None:
    encoder = load(spec(), settings(image_size=None), CPU)
    assert isinstance(encoder, ImageEncoder) and encoder.dim == 512
    vectors = encoder.encode(PHOTOS)
    transform = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.transforms()
    with torch.inference_mode():
        for photo, vector in zip(PHOTOS, vectors, strict=True):
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
    fingerprints = {encoder.fingerprint for encoder in [first, again, *others]}
    assert first.fingerprint == again.fingerprint and len(fingerprints) == 5


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
    cached = load(spec(weights="pretrained"), settings(), CPU)
    file = load(spec(weights=saved(tmp_path, model.state_dict())), settings(), CPU)
    np.testing.assert_array_equal(cached.encode(PHOTOS), file.encode(PHOTOS))
    assert cached.fingerprint == file.fingerprint, "the same weights, whatever file they come from"
    torch.save({"model": nn.Linear(1, 1)}, target)  # a pickle of code
    with pytest.raises(HeadstartError, match="is not the weight file of squeezenet1_1"):
        load(spec(weights="pretrained"), settings(), CPU)


def refuse(*_: object) -> None:
    raise OSError(101, "Network is unreachable")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "resnet19"}, "not a classification model of torchvision; did you mean resnet18"),
        ({"name": "fasterrcnn_resnet50_fpn"}, "not a classification model of torchvision"),
        ({"weights": "absent.pth"}, r"must be pretrained, random or a \.safetensors file"),
        (
            {"family": "tfidf", "name": "word"},
            "tfidf does not encode image.*use transformers or torchvision or timm or",
        ),
        ({"family": "pixels", "name": "grey"}, "must be rgb, the only one of family pixels"),
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


@pytest.mark.slow
def test_a_model_of_torchvision_imports_no_transformers() -> None:
    code = "import sys, stages.backbones.torchvision; print({'transformers', 'timm'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
