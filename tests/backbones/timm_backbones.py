"""Backbones of timm to test: small networks with random weights, as on the hub."""

import json
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import save_for_hf

from stages.common.params import BackboneParams

# Names of timm, or arguments that make a large architecture small.
SMALL: dict[str, dict[str, Any]] = {
    "test_resnet": {},
    "test_convnext": {},
    "test_vit": {},
    "test_efficientnet": {},
    "mobilenetv3_small_050": {},
    "swin_tiny_patch4_window7_224": {
        "embed_dim": 16,
        "depths": (1, 2),
        "num_heads": (1, 2),
        "img_size": 64,
        "window_size": 4,
    },
    "levit_128s": {
        "img_size": 64,
        "embed_dim": (32, 48, 64),
        "key_dim": 8,
        "num_heads": (2, 3, 4),
        "depth": (1, 1, 1),
    },
    "deit_tiny_distilled_patch16_224": {"embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": 64},
    "tf_efficientnet_lite0": {},
}


def spec(name: str = "test_resnet", **changes: Any) -> BackboneParams:
    return BackboneParams(**{"family": "timm", "name": name, "weights": "pretrained", **changes})


def network(architecture: str, **options: Any) -> Any:
    """A network with random weights, and statistics of batch normalisation that are not those of the start."""
    torch.manual_seed(1)
    model = timm.create_model(architecture, **SMALL[architecture], **options)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2)
    return model.eval()


def make_folder(folder: Path, architecture: str) -> Path:
    """A model as timm writes it for the hub, with a classifier of three classes."""
    save_for_hf(network(architecture, num_classes=3), folder, safe_serialization=True)
    return folder


def edit(folder: Path, **changes: Any) -> None:
    """Change keys of config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")
