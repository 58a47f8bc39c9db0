"""LoRA adapters."""

from pathlib import Path

import pytest

from stages import backbones
from stages.common.errors import HeadstartError
from stages.common.params import RuntimeParams
from stages.finetuning import lora
from tests.finetuning.recipes import SMALL, SQUEEZENET, fresh, settings


def test_an_adapter_of_another_backbone_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    network = fresh("text", tiny_encoder, settings(method="lora"))
    network.save(tmp_path, method="lora")
    other = backbones.load_encoder(SQUEEZENET, SMALL["image"], RuntimeParams(device="cpu"), "image")
    with pytest.raises(HeadstartError, match=r"the adapter in .* cannot be loaded .*; run `dvc repro finetune`"):
        lora.load(other.body, tmp_path)
    (tmp_path / lora.WEIGHTS_FILE).write_bytes(b"damaged")
    with pytest.raises(HeadstartError, match="cannot be loaded"):
        lora.load(fresh("text", tiny_encoder, settings()).encoder.body, tmp_path)
