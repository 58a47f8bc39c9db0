"""Training models of timm: every method, on every kind of network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages import backbones
from stages.backbones import blocks
from stages.common.params import ExtractParams, RuntimeParams
from stages.finetuning import classifier
from stages.finetuning.classifier import Classifier
from stages.tasks.single import Single
from tests.backbones.timm_backbones import SMALL, make_folder, spec
from tests.finetuning.recipes import LABELS, card, pictures, settings, train

CPU = RuntimeParams(device="cpu")
EXTRACT = ExtractParams(image_size=64)
QUICK = {("test_resnet", "full"), ("test_efficientnet", "lora"), ("test_vit", "last_block")}


@pytest.mark.parametrize(
    ("architecture", "method"),
    [
        pytest.param(architecture, method, marks=[] if (architecture, method) in QUICK else pytest.mark.slow)
        for architecture in SMALL
        for method in ("full", "last_block", "lora")
    ],
)
def test_every_method_starts_at_the_head_learns_and_comes_back_from_disk(
    architecture: str, method: Any, tmp_path: Path
) -> None:
    chosen = spec(str(make_folder(tmp_path / "model", architecture)))
    encoder = backbones.load_encoder(chosen, EXTRACT, CPU, "image")
    network = Classifier(encoder, Single(LABELS))
    network.start_from(np.random.default_rng(1).normal(0, 0.1, (2, encoder.dim)), np.zeros(2))
    inputs, _ = pictures(40)
    start = network.probabilities(inputs)
    changes = settings(method=method, epochs=5, horizontal_flip=False, random_resized_crop=False)
    network.adapt(changes)
    np.testing.assert_allclose(network.probabilities(inputs), start, atol=1e-3)
    before = {name: tensor.clone() for name, tensor in encoder.body.state_dict().items()}
    progress = train(network, "image", changes)
    assert progress.kept and progress.history[progress.kept - 1]["log_loss"] < progress.start["log_loss"]
    changed = {name for name, tensor in encoder.body.state_dict().items() if not tensor.equal(before[name])}
    if method == "last_block":
        assert changed and changed <= set(blocks.last_parameters(encoder.body)) and len(changed) < len(before) * 0.7
    elif method == "lora":
        assert changed and all("lora_" in name for name in changed)
    else:
        assert len(changed) > len(before) / 4  # statistics and counts of batch normalisation are frozen

    (tmp_path / "finetuned").mkdir()
    network.save(tmp_path / "finetuned", method=method)
    saved = card(method=method, modality="image", backbone=chosen, extract=EXTRACT, fingerprint=encoder.fingerprint)
    loaded = classifier.load(tmp_path / "finetuned", saved, CPU)
    np.testing.assert_allclose(loaded.probabilities(inputs), network.probabilities(inputs), atol=1e-5)
