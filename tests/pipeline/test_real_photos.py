"""Real photos and weights, which lie beside the project."""

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

from tests.projects import ROOT, run

SHARED = Path(os.environ.get("HEADSTART_SHARED", ROOT.parent / "shared"))


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the photos and weights beside the project")
def test_ants_and_bees_on_real_weights(project: Path) -> None:
    """SqueezeNet pretrained on ImageNet, 245 photos to train on: at least 0.90 frozen, 0.92 fine-tuned on 153."""
    photos = project / "data/photos"
    for given, split in (("train", "train"), ("val", "test")):
        shutil.copytree(SHARED / "data/hymenoptera" / given, photos / split)
    shutil.copy(SHARED / "weights/squeezenet1_1-imagenet.safetensors", project / "data/pretrained/imagenet.safetensors")
    content = yaml.safe_load((project / "params.yaml").read_text("utf-8"))
    content["prepare"] |= {"data": "data/photos", "validation": 0}
    content["backbone"] |= {"family": "torchvision", "name": "squeezenet1_1", "revision": None}
    content["backbone"]["weights"] = "data/pretrained/imagenet.safetensors"
    content["finetune"]["method"] = "full"
    (project / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    run(project, "dvc", "repro")
    report = json.loads((project / "data/evaluation/metrics.json").read_text("utf-8"))
    assert report["test_rows"] == 153
    assert report["head"]["accuracy"] >= 0.90
    assert report["finetuned"]["accuracy"] >= 0.92
