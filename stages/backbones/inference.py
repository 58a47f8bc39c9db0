"""A fast copy of a network for inference: the same function up to round-off, but it cannot be trained.

Batch normalisation is folded into the convolution before it (Jacob et al. 2018, section 3.2) and convolutions read
channels last. On CPUs the weights of convolutions are packed once for oneDNN, and those of linear layers where that is
faster. A row gets the same result whatever the rows beside it.
"""

import copy
import os
from itertools import chain
from typing import cast

import torch
from torch import nn
from torch.fx import GraphModule
from torch.fx.experimental.optimization import fuse

from stages.backbones import convolutions, onednn
from stages.backbones.onednn import PackedLinear, TrainableLinear
from stages.backbones.row_groups import GroupedLinear

# oneDNN compiles a routine per batch shape and keeps 1,024 of them, unless this variable is set before the first. With
# 128, extract is as fast, and the memory of a long run no longer grows.
ROUTINES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
# Not their subclasses: attention reads the weights of its own without calling them, and LoRA's hold several weights.
LINEAR = (nn.Linear, TrainableLinear)


def optimized(body: nn.Module) -> nn.Module:
    """Return a fast copy of `body`, which shares the tensors that do not change.

    Must not run while another thread runs a network.

    Args:
        body: a float32 network in evaluation mode.
    """
    os.environ.setdefault(*ROUTINES)
    tensors = {id(tensor): tensor for tensor in chain(body.parameters(), body.buffers())}
    for module in body.modules():  # RecurrentGemma keeps its states of the last training step, which cannot be copied
        kept = (value for value in vars(module).values() if isinstance(value, torch.Tensor) and not value.is_leaf)
        tensors |= {id(tensor): tensor.detach() for tensor in kept}
    fast = copy.deepcopy(body, tensors)
    for module in fast.modules():
        vars(module).pop("forward", None)  # set by `Encoder.recompute_blocks`
    if any(isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.ReLU)) for module in fast.modules()):
        try:
            fast = fuse(fast, inplace=True)
        except Exception:  # a forward that branches on values cannot be traced, so nothing is folded or joined
            fast = copy.deepcopy(body, tensors)
    if any(isinstance(module, nn.Conv2d) for module in fast.modules()):
        fast = fast.to(memory_format=torch.channels_last)
    if next(body.parameters()).device.type == "cpu":
        if isinstance(fast, GraphModule) and convolutions.is_available():
            convolutions.pack(fast)
        if onednn.is_faster():
            _join_gelu(fast)
            _replace_linear_layers(fast, PackedLinear)
        else:
            _replace_linear_layers(fast, GroupedLinear)
    return fast


def _join_gelu(body: nn.Module) -> None:
    for module in body.modules():
        # In the blocks of BERT and its relatives, GELU as a separate step takes a tenth of the time.
        # By its name, because few networks need the seconds that transformers takes to import.
        gelu = type(getattr(module, "intermediate_act_fn", None)).__name__ == "GELUActivation"
        if gelu and type(getattr(module, "dense", None)) in LINEAR:
            module.dense = PackedLinear(cast(nn.Linear, module.dense), then_gelu=True)
            module.intermediate_act_fn = nn.Identity()


def _replace_linear_layers(body: nn.Module, kind: type[PackedLinear] | type[GroupedLinear]) -> None:
    for name, module in list(body.named_modules()):
        if type(module) in LINEAR:
            body.set_submodule(name, kind(cast(nn.Linear, module)))
