"""AdamW (Loshchilov and Hutter 2019) with a learning rate of its own for each block and for the classifier layer."""

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stages.backbones import blocks
from stages.common.params import FinetuneParams
from stages.finetuning.classifier import Classifier


def build(classifier: Classifier, settings: FinetuneParams) -> torch.optim.Optimizer:
    """Return an optimizer of the trained parameters of `classifier`; the classifier layer is in the first group.

    Each block learns at `layer_decay` times the rate of the block above it (Howard and Ruder 2018, ULMFiT). Biases,
    norms and other parameters of one dimension have no weight decay.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    depths = {f"encoder.body.{name}": depth for name, depth in blocks.depths(classifier.encoder.body).items()}
    head_first = reversed(list(classifier.named_parameters()))
    for name, parameter in head_first:
        if not parameter.requires_grad:
            continue
        if (depth := depths.get(name)) is None:
            rate = settings.head_learning_rate
        else:
            rate = float(settings.learning_rate) * float(settings.layer_decay) ** depth
        decay = settings.weight_decay if parameter.squeeze().ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [{"params": group, "lr": rate, "weight_decay": decay} for (rate, decay), group in groups.items()],
        fused=classifier.encoder.device.type in ("cpu", "cuda"),
    )


def schedule(optimizer: torch.optim.Optimizer, settings: FinetuneParams, steps: int) -> Any:
    """Return the schedule of the learning rates over `steps`: a linear rise over `warmup`, then a linear fall to 0."""
    warmup = math.ceil(steps * settings.warmup)

    def share(step: int) -> float:
        """Return the share of the peak rate at a step."""
        return step / max(warmup, 1) if step < warmup else max(0.0, (steps - step) / max(steps - warmup, 1))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, share)


def state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Return the tensors of an optimizer, named `INDEX.NAME` by parameter, and the settings of its groups."""
    content = optimizer.state_dict()
    tensors = {
        f"{index}.{name}": tensor for index, values in content["state"].items() for name, tensor in values.items()
    }
    return tensors, content["param_groups"]


def restore(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], groups: list[dict[str, Any]]) -> None:
    """Set an optimizer to the result of `state`."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    values: dict[int, dict[str, Tensor]] = defaultdict(dict)
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        parameter = parameters[int(index)]
        # The fused kernel needs the memory layout of the parameter.
        is_like_it = tensor.shape == parameter.shape
        values[int(index)][name] = torch.empty_like(parameter).copy_(tensor) if is_like_it else tensor
    optimizer.load_state_dict({"state": values, "param_groups": groups})
