"""The blocks of a network, in order."""

import pytest
import timm
import torch
import torchvision
import transformers

from stages.backbones import blocks
from stages.backbones.torchvision import without_classifier


@pytest.mark.parametrize(
    ("name", "count", "first_of_last"),
    [
        ("resnet18", 6, "layer4.0.conv1.weight"),
        ("vgg11", 8, "features.16.weight"),
        ("squeezenet1_1", 9, "features.12.squeeze.weight"),
        ("vit_b_32", 12, "encoder.layers.encoder_layer_11.ln_1.weight"),
        ("convnext_tiny", 8, "features.7.0.layer_scale"),
        ("mobilenet_v2", 19, "features.17.conv.0.0.weight"),
    ],
)
def test_the_blocks_of_networks_are_found_without_knowing_them(name: str, count: int, first_of_last: str) -> None:
    with torch.device("meta"):  # the names of weights are enough
        body, _ = without_classifier(torchvision.models.get_model(name))
    assert len(blocks.names(body)) == count
    assert blocks.last_parameters(body)[0] == first_of_last
    depths = [*blocks.depths(body).values()]
    assert depths == sorted(depths, reverse=True) and depths[-1] == 0 and depths[0] in (count - 1, count)


def test_a_large_layer_beside_the_blocks_is_none_of_them() -> None:
    """MobileNet's last convolution, and the word vectors of GPT-2, hold more weights than many blocks together."""
    with torch.device("meta"):
        mobilenet = timm.create_model("mobilenetv3_small_050", num_classes=0)
        gpt2 = transformers.GPT2Model(transformers.GPT2Config(n_embd=32, n_layer=3, n_head=2))
    assert blocks.names(mobilenet) == [f"blocks.{number}" for number in range(6)]
    assert blocks.last_parameters(mobilenet)[0].startswith("blocks.4.")  # the last one is a single layer
    assert blocks.names(gpt2) == ["h.0", "h.1", "h.2"]
