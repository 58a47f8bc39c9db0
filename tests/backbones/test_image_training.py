"""How image encoders are trained: batch norm and augmentation."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import ImageOps
from torch import nn

from stages.backbones.image import ImageEncoder
from stages.common.params import FinetuneParams
from stages.tables import images
from tests.backbones.image_backbones import CPU, PHOTOS, load, settings, spec


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
