"""Image backbones to test: settings, photos, and the configurations of tiny vision encoders."""

import functools
from pathlib import Path
from typing import Any

import torch
import transformers

from stages import backbones
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams
from tests.pictures import png

CPU = RuntimeParams(device="cpu")
load = functools.partial(backbones.load, modality="image")
PHOTOS = [png(number, (50, 40)) for number in range(5)]


def spec(name: str = "squeezenet1_1", **changes: Any) -> BackboneParams:
    return BackboneParams(**{"family": "torchvision", "name": name, "weights": "random", **changes})


def settings(**changes: Any) -> ExtractParams:
    return ExtractParams(**{"image_size": 64, "normalize": False, **changes})


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


def make_vision_encoder(folder: Path, name: str) -> Path:
    """A tiny vision encoder with random weights, saved as save_pretrained does."""
    config, processor = VISION[name]
    torch.manual_seed(0)
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    short = name in ("dinov2", "clip", "convnext", "resnet")
    options = {"crop_size": size} if name in ("dinov2", "clip", "resnet") else {}
    processor(size={"shortest_edge": 32} if short else size, **options).save_pretrained(folder)
    return folder
