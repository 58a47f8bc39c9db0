"""Every classification model of torchvision gives the features that its final layer gets."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from stages.backbones.torchvision import without_classifier
from tests.projects import ROOT

MODELS = torchvision.models.list_models(module=torchvision.models)
# The smallest of each architecture, but for VGG, whose smallest takes half a gigabyte.
QUICK = {
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_x_400mf",
    "regnet_y_400mf",
    "resnet18",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_t",
    "swin_v2_t",
    "vit_b_32",
    "wide_resnet50_2",
}


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


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in MODELS]
)
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
    table = {
        row.split("|")[1].strip(): row
        for row in (ROOT / "stages/backbones/README.md").read_text("utf-8").splitlines()
        if "|" in row
    }
    documented = next(int(row.split("|")[2]) for names, row in table.items() if f"`{name}`" in names)
    assert features.shape[1] == documented


FEATURES: dict[str, Callable[[Any, torch.Tensor], torch.Tensor]] = {
    "squeezenet1_1": lambda model, pixels: model.features(pixels).mean(dim=(2, 3)),
    "vgg11": lambda model, pixels: model.classifier[:6](model.avgpool(model.features(pixels)).flatten(1)),
    "resnet18": lambda model, pixels: nn.Sequential(*list(model.children())[:-1])(pixels).flatten(1),
}


@pytest.mark.parametrize("name", ["squeezenet1_1", "resnet18", pytest.param("vgg11", marks=pytest.mark.slow)])
def test_features_are_the_pooled_feature_map_or_the_penultimate_layer(name: str) -> None:
    pixels = torch.rand(2, 3, 64, 64)
    model = torchvision.models.get_model(name, weights=None).eval()
    with torch.inference_mode():
        wanted = FEATURES[name](model, pixels)
        body, _ = without_classifier(model)
        torch.testing.assert_close(body(pixels), wanted)
