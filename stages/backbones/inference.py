"""A network made ready for inference: the same function up to round-off, faster, no longer fit for training.

Batch normalisation is folded into the convolution before it (Jacob et al. 2018, section 3.2), convolutions read
channels last, and on CPUs the weights of linear layers are laid out once for oneDNN.
"""

import copy
import os
from itertools import chain
from typing import cast

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse
from transformers.activations import GELUActivation

from stages.backbones import onednn
from stages.backbones.onednn import PackedLinear, TrainableLinear

# oneDNN compiles a routine for each shape of a batch and keeps 1,024 of them, unless this says otherwise before its
# first one. With 128 extract is as fast, and the memory of a long run no longer grows.
ROUTINES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
# Not their subclasses: attention reads the weights of some without calling them, and LoRA's hold more than one weight.
LINEAR = (nn.Linear, TrainableLinear)


def ready(body: nn.Module) -> nn.Module:
    """`body` for inference, sharing its tensors where they stay as they are. Not while another thread runs a network.

    Args:
        body: a float32 network in evaluation mode.
    """
    os.environ.setdefault(*ROUTINES)
    tensors = {id(tensor): tensor for tensor in chain(body.parameters(), body.buffers())}
    fast = copy.deepcopy(body, tensors)
    for module in fast.modules():
        vars(module).pop("forward", None)  # that of `Encoder.recompute_blocks`
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in fast.modules()):
        try:
            fast = fuse(fast, inplace=True)
        except Exception:  # a forward that branches on values cannot be traced: it stays as it is
            fast = copy.deepcopy(body, tensors)
    if any(isinstance(module, nn.Conv2d) for module in fast.modules()):
        fast = fast.to(memory_format=torch.channels_last)
    if next(body.parameters()).device.type == "cpu" and onednn.is_here():
        for module in fast.modules():
            # The block of BERT and its relatives: GELU is a tenth of their time as a step of its own.
            gelu = isinstance(getattr(module, "intermediate_act_fn", None), GELUActivation)
            if gelu and type(module.dense) in LINEAR:
                module.dense = PackedLinear(cast(nn.Linear, module.dense), then_gelu=True)
                module.intermediate_act_fn = nn.Identity()
        for name, module in list(fast.named_modules()):
            if type(module) in LINEAR:
                fast.set_submodule(name, PackedLinear(module))
    return fast
