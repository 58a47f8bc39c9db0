"""Convolutions computed by oneDNN on a CPU, in one step with the addition and the ReLU that follow them.

Such a step saves passes over the memory of all activations, and weights are laid out for the processor once, not in
every batch.
"""

import operator
from collections import Counter
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

RELU: tuple[Any, ...] = (nn.ReLU, nn.functional.relu, torch.relu, "relu", "relu_")
ADD: tuple[Any, ...] = (operator.add, torch.add)  # tracing makes `+=` an addition, too


class PackedConv2d(nn.Module):
    """A convolution for inference that may add a tensor and apply ReLU: relu(conv(x) + other)."""

    def __init__(self, conv: nn.Conv2d, *, then_relu: bool) -> None:
        super().__init__()
        self._bias, self._then_relu = conv.bias, then_relu
        self._options = (conv.padding, conv.stride, conv.dilation, conv.groups)
        self._weight = conv.weight.detach()  # until the first call, which knows the size that decides the layout
        self._shape: torch.Size | None = None  # of the input, the last time
        self._can_join = False  # whether what is added has the shape of the output

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Map `x`, (rows, in_channels, height, width) float32, to (rows, out_channels, …)."""
        if self._shape != x.shape:
            if self._shape is None:
                reorder = torch.ops.mkldnn._reorder_convolution_weight
                self._weight = reorder(self._weight, *self._options, list(x.shape))
            self._can_join = other is not None and other.shape == self._conv(x, then_relu=False).shape
            self._shape = x.shape
        if other is None:
            return self._conv(x, then_relu=self._then_relu)
        if not self._can_join:
            out = self._conv(x, then_relu=False) + other
            return out.relu_() if self._then_relu else out
        relu = "relu" if self._then_relu else None
        joined = torch.ops.mkldnn._convolution_pointwise.binary
        return cast(Tensor, joined(x, other, self._weight, self._bias, *self._options, "add", 1.0, relu, [], None))

    def _conv(self, x: Tensor, *, then_relu: bool) -> Tensor:
        after = "relu" if then_relu else "none"
        conv = torch.ops.mkldnn._convolution_pointwise
        return cast(Tensor, conv(x, self._weight, self._bias, *self._options, after, [], ""))


def is_available() -> bool:
    """Return whether this build of torch has oneDNN's convolutions, private operators of torch's compiler."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")  # type: ignore[no-untyped-call]


def pack(network: GraphModule) -> None:
    """Replace the plain convolutions of a traced network, each with the addition and the ReLU that follow it."""
    calls = Counter(node.target for node in network.graph.nodes if node.op == "call_module")
    for node in list(network.graph.nodes):
        if node.op == "call_module" and calls[node.target] == 1:
            module = network.get_submodule(node.target)
            if type(module) is nn.Conv2d and module.padding_mode == "zeros" and not isinstance(module.padding, str):
                _pack_node(network, node, module)
    network.recompile()


def _pack_node(network: GraphModule, node: Node, conv: nn.Conv2d) -> None:
    steps, others = [node], _added(network, node)
    if others:
        steps.append(next(iter(node.users)))
    if relu := _next(network, steps[-1], RELU):
        steps.append(relu)
    network.set_submodule(str(node.target), PackedConv2d(conv, then_relu=relu is not None))
    if len(steps) > 1:
        with network.graph.inserting_before(steps[-1]):
            packed = network.graph.call_module(str(node.target), (*node.args, *others))
        steps[-1].replace_all_uses_with(packed)
        for step in reversed(steps):
            network.graph.erase_node(step)


def _added(network: GraphModule, node: Node) -> tuple[Node, ...]:
    """Return the tensor that the only user of a node adds to it; empty if it does anything else."""
    add = _next(network, node, ADD)
    if add is None or add.kwargs or len(add.args) != 2:
        return ()
    others = tuple(arg for arg in add.args if isinstance(arg, Node) and arg is not node)
    return others if len(others) == 1 else ()


def _next(network: GraphModule, node: Node, kinds: tuple[Any, ...]) -> Node | None:
    """Return the only user of a node if it calls one of some functions, methods or types of modules."""
    if len(node.users) != 1:
        return None
    user = next(iter(node.users))
    called = type(network.get_submodule(str(user.target))) if user.op == "call_module" else user.target
    return user if called in kinds else None
