"""Linear layers computed by oneDNN on a CPU; each shares the weights of the layer that it replaces.

On AVX-512, oneDNN's products took 0.4 to 0.9 of the time of torch's default, depending on the processor. On AVX2 (AMD
Zen 3) they take 1.1 to 1.3 times as long, so there torch's default stays.
"""

from typing import Any

import torch
from torch import Tensor, nn

from stages.backbones.shared_linear import SharedLinear

PLAIN: tuple[Any, ...] = ("none", [], "")
THEN_GELU: tuple[Any, ...] = ("gelu", [], "none")


class PackedLinear(SharedLinear):
    """A linear layer for inference, whose weights are packed once."""

    def __init__(self, linear: nn.Linear, *, then_gelu: bool = False) -> None:
        super().__init__(linear)
        self._after = THEN_GELU if then_gelu else PLAIN
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), None)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x`, (…, in_features) float32, to (…, out_features)."""
        packed: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, *self._after)
        return packed


class TrainableLinear(SharedLinear):
    """A linear layer for training: oneDNN computes outputs and gradients."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `x`, (…, in_features) float32, to (…, out_features).

        The reshaping is outside of the function, because torch lets nobody write into a view that a function made, as
        Longformer does when it scales its queries in place.
        """
        if not x.numel():  # no token goes to this expert; oneDNN has no gradient of nothing
            return super().forward(x)
        out: Tensor = _Product.apply(x.reshape(-1, self.in_features), self.weight, self.bias)
        return out.view(*x.shape[:-1], self.out_features)


class _Product(torch.autograd.Function):
    """The product of `x`, (rows, in), and a weight, (out, in), plus a bias: (rows, out)."""

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        context.save_for_backward(x, weight)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, *PLAIN)
        return product

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = context.saved_tensors
        needs_x, needs_weight, needs_bias = context.needs_input_grad
        (gradient,) = gradients  # (rows, out)
        product = torch.ops.mkldnn._linear_pointwise
        return (
            product(gradient, weight.t(), None, *PLAIN) if needs_x else None,
            product(gradient.t(), x.t(), None, *PLAIN) if needs_weight else None,
            gradient.sum(0) if needs_bias else None,
        )


def is_faster() -> bool:
    """Return whether oneDNN's linear product beats torch's default, by what this build and the processor can do.

    The build must have it, since it is a private operator of torch's compiler, and the processor AVX-512.
    """
    has_product = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # type: ignore[no-untyped-call]
    return has_product and torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def make_trainable(body: nn.Module) -> None:
    """Replace every plain linear layer by a `TrainableLinear`, on a CPU where oneDNN is faster."""
    if next(body.parameters()).device.type != "cpu" or not is_faster():
        return
    for name, module in list(body.named_modules()):
        if type(module) is nn.Linear:  # not its subclasses: attention reads their weights without calling them
            body.set_submodule(name, TrainableLinear(module))
