"""Linear layers on a CPU by oneDNN, with the weights of the layers that they stand for.

On AVX-512 its products took 0.4 to 0.9 of the time of torch's default, depending on the processor.
"""

from typing import Any

import torch
from torch import Tensor, nn

PLAIN: tuple[Any, ...] = ("none", [], "")
THEN_GELU: tuple[Any, ...] = ("gelu", [], "none")


class PackedLinear(nn.Linear):
    """For inference: the weights are laid out once."""

    def __init__(self, linear: nn.Linear, *, then_gelu: bool = False) -> None:
        nn.Module.__init__(self)
        self._after = THEN_GELU if then_gelu else PLAIN
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), None)

    def forward(self, x: Tensor) -> Tensor:
        """x: (…, in_features) float32; (…, out_features)."""
        packed: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, *self._after)
        return packed


class TrainableLinear(nn.Linear):
    """For training, forward and backward."""

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """x: (…, in_features) float32; (…, out_features)."""
        out: Tensor = _Product.apply(x, self.weight, self.bias)
        return out


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        context.save_for_backward(x, weight)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, *PLAIN)
        return product

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = context.saved_tensors
        of_x, of_weight, of_bias = context.needs_input_grad
        rows, gradient = x.flatten(0, -2), gradients[0].flatten(0, -2)  # (rows, in), (rows, out)
        product = torch.ops.mkldnn._linear_pointwise
        return (
            product(gradient, weight.t(), None, *PLAIN).view(x.shape) if of_x else None,
            product(gradient.t(), rows.t(), None, *PLAIN) if of_weight else None,
            gradient.sum(0) if of_bias else None,
        )


def is_here() -> bool:
    """Whether this build of torch has it; there is no public name for what torch's own compiler uses."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # type: ignore[no-untyped-call]


def make_trainable(body: nn.Module) -> None:
    """Put a `TrainableLinear` in the place of every plain linear layer, on a CPU that has oneDNN."""
    if next(body.parameters()).device.type != "cpu" or not is_here():
        return
    for name, module in list(body.named_modules()):
        if type(module) is nn.Linear:  # not its subclasses: attention reads the weights of those without calling them
            body.set_submodule(name, TrainableLinear(module))
