"""Low-rank adapters by peft (Hu et al. 2022, LoRA): a few trained weights beside frozen ones.

Linear layers (GPT-2 calls them Conv1D) and convolutions of every block get an adapter. Linear layers after the blocks,
as in VGG's classifier, are trained directly. Only the adapter is saved; loading merges it into the backbone.
"""

import json
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import peft
import safetensors.torch
import torch
from peft.tuners.lora import LoraLayer
from pydantic import ConfigDict, Field
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from stages.backbones import blocks, model_files
from stages.backbones.onednn import TrainableLinear
from stages.common import json_file
from stages.common.errors import HeadstartError, one_line
from stages.common.params import FinetuneParams
from stages.common.section import Section, validate
from stages.common.setting_types import Count, Fraction, Positive

CONFIG_FILE = model_files.ADAPTER_FILE
WEIGHTS_FILE = "adapter_model.safetensors"
# Types of models whose fused kernel reads the weights of `out_proj` without calling the layer; peft refuses it.
MAMBA = ("falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h")
# Settings of peft that change the result of an adapter, none of which finetune uses.
UNSUPPORTED = ("use_rslora", "use_dora", "fan_in_fan_out", "rank_pattern", "alpha_pattern", "layer_replication")


class AdapterConfig(Section):
    """The settings of adapter_config.json that are read; peft gets these alone, never the file."""

    model_config = ConfigDict(extra="ignore")

    r: Count
    lora_alpha: Positive
    lora_dropout: Fraction
    target_modules: list[str] = Field(min_length=1)


def add(body: nn.Module, settings: FinetuneParams, *, name: str) -> None:
    """Freeze `body`, the backbone `name`, and add adapters. They change no vector until they are trained.

    Raises:
        HeadstartError: `body` has no layer that takes an adapter.
    """
    targets = _targets(body)
    if not targets:
        raise HeadstartError(
            f"backbone.name {name} has no linear layer or convolution that lora can adapt; set finetune.method to full"
        )
    numbers = AdapterConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=sorted(targets),
    )
    config = peft.LoraConfig(**numbers.model_dump(), base_model_name_or_path=name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        try:
            _inject(config, body)
        except Exception as error:  # peft raises many types
            raise HeadstartError(
                f"lora cannot adapt backbone.name {name} ({one_line(error)}); set finetune.method to full"
            ) from None


def save(body: nn.Module, folder: Path) -> None:
    """Write the adapter, and the layers that are trained directly."""
    config: Any = body.peft_config
    config.save_pretrained(folder)
    content = json.loads((folder / CONFIG_FILE).read_text("utf-8"))
    content["target_modules"].sort()  # a set in peft, in another order every time
    json_file.write(folder / CONFIG_FILE, content)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in _trained(body)}
    (folder / WEIGHTS_FILE).write_bytes(safetensors.torch.save(state, metadata={"format": "pt"}))


def load(body: nn.Module, folder: Path) -> None:
    """Merge the adapter in `folder` into `body`, the backbone it was trained on.

    Raises:
        HeadstartError: its files are missing or damaged, name code, or belong to another backbone.
    """
    numbers = _read_config(folder / CONFIG_FILE)
    try:
        state = safetensors.torch.load_file(folder / WEIGHTS_FILE)
        _check_weights(state, numbers.r)
        _inject(peft.LoraConfig(**numbers.model_dump()), body)
        if state.keys() != {name for name, _ in _trained(body)}:
            raise ValueError("it belongs to another backbone")
        body.load_state_dict(state, strict=False)
    except Exception as error:  # peft raises many types
        raise HeadstartError(
            f"the adapter in {folder} cannot be loaded ({one_line(error)}); run `dvc repro finetune`"
        ) from None
    merge(body)


def merge(body: nn.Module) -> None:
    """Add the adapters to the weights, and put plain layers back where they were."""
    for name, module in list(body.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge(safe_merge=True)
            body.set_submodule(name, module.get_base_layer())


def _targets(body: nn.Module) -> list[str]:
    """Return the names of the layers in the blocks of `body` that take an adapter."""
    inside = tuple(f"{block}." for block in blocks.names(body))
    is_mamba = getattr(getattr(body, "config", None), "model_type", None) in MAMBA
    return [
        layer
        for layer, module in body.named_modules()
        if f"{layer}.".startswith(inside)
        and (
            _is_linear(module)
            or (type(module) is nn.Conv2d and module.groups == 1)  # its subclasses pad or scale in ways of their own
        )
        and not (is_mamba and layer.endswith(".out_proj"))
    ]


def _is_linear(module: nn.Module) -> bool:
    """Tell whether a layer multiplies by its weights and adds its bias, and no more; a class of its own is tried."""
    if type(module) in (nn.Linear, TrainableLinear, Conv1D):
        return True
    if not isinstance(module, nn.Linear):
        return False
    inputs = torch.linspace(-1, 1, module.in_features, device=module.weight.device).unsqueeze(0)
    with suppress(Exception), torch.no_grad():  # such as layers of other numbers than float32
        return torch.allclose(module(inputs), nn.functional.linear(inputs, module.weight, module.bias), atol=1e-5)
    return False


def _read_config(path: Path) -> AdapterConfig:
    """Read the numbers of an adapter, and refuse one that names code or that finetune did not write."""
    content = model_files.read_json(path)
    model_files.check_config(path, content)
    config = validate(AdapterConfig, content, file=str(path))
    for key in UNSUPPORTED:
        if content.get(key):
            raise HeadstartError(
                f"{path} sets {key}, which is not supported; use an adapter that `dvc repro finetune` wrote"
            )
    return config


def _check_weights(state: dict[str, Tensor], rank: int) -> None:
    """Raise a ValueError for tensors that are no finite floats, or whose rank is not that of the configuration."""
    for name, tensor in state.items():
        if not tensor.is_floating_point() or not tensor.isfinite().all():
            raise ValueError(f"{name} holds {tensor.dtype} values that are not finite floating-point numbers")
        if ".lora_A." in name and tensor.shape[0] != rank:
            raise ValueError(f"{name} has rank {tensor.shape[0]}, but r is {rank} in {CONFIG_FILE}")


def _inject(config: Any, body: nn.Module) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to False but the target module is `Conv1D`")
        peft.inject_adapter_in_model(config, body)
    config.fan_in_fan_out = False  # peft sets it for GPT-2's layers, and would do so again on loading
    body.peft_config = config
    for name, module in body.named_modules():
        if isinstance(module, nn.Linear) and "classifier" in name.split("."):
            module.requires_grad_(True)


def _trained(body: nn.Module) -> list[tuple[str, Any]]:
    return [(name, parameter) for name, parameter in body.named_parameters() if parameter.requires_grad]
