"""Convolutions by oneDNN in a traced network: the same function, in fewer steps."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.fx import symbolic_trace

from stages.backbones import convolutions

pytestmark = pytest.mark.skipif(not convolutions.is_available(), reason="this build of torch has no oneDNN")


class Network(nn.Module):
    """A few convolutions, called by a function of the test."""

    def __init__(self, run: Callable[["Network", Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1, bias=False)
        self.strided = nn.Conv2d(8, 8, 3, stride=2, padding=2, dilation=2, groups=2)
        self.same = nn.Conv2d(8, 8, 3, padding="same")
        self.reflected = nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect")
        self.relu = nn.ReLU(inplace=True)
        self.scale, self.table = nn.Parameter(torch.rand(1, 8, 1, 1)), nn.Parameter(torch.rand(1, 8, 9, 9))
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


def _in_place(net: Network, x: Tensor) -> Tensor:
    y = net.a(x)
    y += x
    return net.relu(y)


def _into_another(net: Network, x: Tensor) -> Tensor:
    y = net.b(x)
    z = y * 2
    y += net.a(x)
    return y + z


def _doubled(net: Network, x: Tensor) -> Tensor:
    y = net.a(x)
    return y + y


def _relu_beside(net: Network, x: Tensor) -> Tensor:
    y = net.a(x)
    return torch.relu(y) * y


CASES: dict[str, tuple[Callable[[Network, Tensor], Tensor], int]] = {  # with the steps that are left
    "conv": (lambda net, x: net.a(x), 1),
    "relu": (lambda net, x: net.relu(net.strided(x)), 1),
    "functions": (lambda net, x: torch.relu(net.a(nn.functional.relu(net.b(x)))), 2),
    "method": (lambda net, x: net.a(x).relu(), 1),
    "residual": (lambda net, x: net.relu(net.a(x) + x), 1),
    "two branches": (lambda net, x: net.relu(net.a(x) + net.b(x)), 2),
    "in place": (_in_place, 1),
    "into another": (_into_another, 4),
    "added before": (lambda net, x: net.relu(x + net.a(x)), 1),
    "doubled": (_doubled, 2),
    "relu beside": (_relu_beside, 3),
    "called twice": (lambda net, x: net.a(net.relu(net.a(x))), 3),
    "other shape": (lambda net, x: net.relu(net.a(x) + net.scale), 1),
    "number": (lambda net, x: net.a(x) + 1.0, 2),
    "scaled": (lambda net, x: torch.add(net.a(x), x, alpha=2), 2),
    "same": (lambda net, x: net.relu(net.same(x)), 2),
    "reflected": (lambda net, x: net.relu(net.reflected(x)), 2),
}


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("name", CASES)
def test_a_packed_network_is_the_same_function(name: str, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    run, steps = CASES[name]
    network = Network(run).eval().to(memory_format=layout)
    packed = symbolic_trace(network)
    convolutions.pack(packed)
    assert sum(node.op in ("call_module", "call_function", "call_method") for node in packed.graph.nodes) == steps
    with torch.no_grad():
        for rows, size in ((1, 9), (4, 9), (4, 9), (2, 12)):
            x = torch.randn(rows, 8, size, size).to(memory_format=layout)
            before = x.clone()
            torch.testing.assert_close(packed(x), network(x), rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(x, before, rtol=0, atol=0)


def test_what_is_added_may_have_the_shape_of_the_output_for_one_row_only() -> None:
    network = Network(lambda net, x: net.relu(net.a(x) + net.table)).eval()
    packed = symbolic_trace(network)
    convolutions.pack(packed)
    with torch.no_grad():
        for rows in (1, 4, 1):
            x = torch.randn(rows, 8, 9, 9)
            torch.testing.assert_close(packed(x), network(x), rtol=1e-5, atol=1e-5)
