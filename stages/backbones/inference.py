"""A network made ready for inference: the same function up to round-off, faster, no longer fit for training.

Batch normalisation is folded into the convolution before it (Jacob et al. 2018, section 3.2), convolutions read
channels last, and on CPUs the weights of linear layers are laid out once for oneDNN: on AVX-512 its products took 0.7
to 0.9 of the time of torch's default.
"""

import copy
import os
from itertools import chain
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from transformers.activations import GELUActivation

# oneDNN compiles a routine for each shape of a batch and keeps 1,024 of them, unless this says otherwise before its
# first one. With 128 extract is as fast, and the memory of a long run no longer grows.
ROUTINES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")


class PackedLinear(nn.Linear):
    """A linear layer for inputs on the CPU, sharing weight and bias with the one that it stands for."""

    def __init__(self, linear: nn.Linear, *, then_gelu: bool = False) -> None:
        nn.Module.__init__(self)
        self._after: tuple[Any, ...] = ("gelu", [], "none") if then_gelu else ("none", [], "")
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), None)

    def forward(self, x: Tensor) -> Tensor:
        """x: (…, in_features) float32; (…, out_features)."""
        packed: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, *self._after)
        return packed


def ready(body: nn.Module) -> nn.Module:
    """`body` for inference, sharing its tensors where they stay as they are. Not while another thread runs a network.

    Args:
        body: a float32 network in evaluation mode.
    """
    os.environ.setdefault(*ROUTINES)
    tensors = {id(tensor): tensor for tensor in chain(body.parameters(), body.buffers())}
    fast = copy.deepcopy(body, tensors)
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in fast.modules()):
        try:
            fast = fuse(fast, inplace=True)
        except Exception:  # a forward that branches on values cannot be traced: it stays as it is
            fast = copy.deepcopy(body, tensors)
    if any(isinstance(module, nn.Conv2d) for module in fast.modules()):
        fast = fast.to(memory_format=torch.channels_last)
    if next(body.parameters()).device.type == "cpu" and _has_packing():
        for module in fast.modules():
            # The block of BERT and its relatives: GELU is a tenth of their time as a step of its own.
            if isinstance(getattr(module, "intermediate_act_fn", None), GELUActivation):
                module.dense = PackedLinear(cast(nn.Linear, module.dense), then_gelu=True)
                module.intermediate_act_fn = nn.Identity()
        for name, module in list(fast.named_modules()):
            # Not its subclasses: attention reads the weights of those without calling them.
            if type(module) is nn.Linear:
                fast.set_submodule(name, PackedLinear(module))
    return fast


def _has_packing() -> bool:
    """torch has no public name for what its own compiler uses."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # type: ignore[no-untyped-call]
