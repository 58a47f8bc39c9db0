"""LoRA adapters."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

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


def configured(**changes: Any) -> Callable[[Path], object]:
    def harm(folder: Path) -> None:
        path = folder / lora.CONFIG_FILE
        path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")

    return harm


def tensors(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], object]:
    def harm(folder: Path) -> None:
        path = folder / lora.WEIGHTS_FILE
        state = safetensors.torch.load_file(path)
        path.write_bytes(safetensors.torch.save({name: change(tensor) for name, tensor in state.items()}))

    return harm


TAMPERED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a module to import": (configured(megatron_config={"a": 1}, megatron_core="harm"), "sets megatron_config to"),
    "the name of a module": (configured(megatron_core="harm"), "sets megatron_core to 'harm', which names a Python"),
    "a library to import": (
        configured(auto_mapping={"parent_library": "harm", "base_model_class": "Model"}),
        "sets auto_mapping to",
    ),
    "a module deep inside": (configured(eva_config={"x": [{"megatron_config": {"a": 1}}]}), "sets megatron_config to"),
    "a rank that is text": (configured(r="16"), r"r is '16', but must be a valid integer"),
    "a rank that fills the memory": (configured(r=10**9), r"has rank 16, but r is 1000000000"),
    "layers as a pattern": (configured(target_modules="(a+)+b"), "target_modules is '\\(a"),
    "another kind of adapter": (configured(use_dora=True), "sets use_dora, which is not supported"),
    "a list": (lambda at: (at / lora.CONFIG_FILE).write_text("[]", "utf-8"), "must be a mapping"),
    "ten thousand brackets": (lambda at: (at / lora.CONFIG_FILE).write_text("[" * 9999, "utf-8"), "cannot be loaded"),
    "whole numbers": (tensors(lambda tensor: tensor.to(torch.int32)), "not finite floating-point numbers"),
    "complex numbers": (tensors(lambda tensor: tensor.to(torch.complex64)), "not finite floating-point numbers"),
    "no numbers": (tensors(lambda tensor: tensor * float("nan")), "not finite floating-point numbers"),
    "numbers of eight bits": (tensors(lambda tensor: tensor.to(torch.float8_e4m3fn)), "cannot be loaded"),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_a_tampered_adapter_is_refused_and_imports_nothing(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    harm, words = TAMPERED[case]
    fresh("text", tiny_encoder, settings(method="lora")).save(tmp_path, method="lora")
    (tmp_path / "harm.py").write_text("open('harmed', 'w')\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    harm(tmp_path)
    with pytest.raises(HeadstartError, match=words):
        lora.load(fresh("text", tiny_encoder, settings()).encoder.body, tmp_path)
    assert not (tmp_path / "harmed").exists()
