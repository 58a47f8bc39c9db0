"""The blocks of a network, in order."""

import pytest
import torch
import torchvision

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
