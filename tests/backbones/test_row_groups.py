"""Linear layers that round a row the same however many rows there are."""

import pytest
import torch
from torch import nn

from stages.backbones.row_groups import GroupedLinear


@pytest.mark.parametrize("threads", [1, 2])
@torch.inference_mode()
def test_a_row_has_the_same_product_among_few_and_many_rows(threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        layer = GroupedLinear(nn.Linear(384, 96))
        X = torch.randn(512, 384)
        among_many = layer(X)
        for count in range(1, 65):
            assert torch.equal(layer(X[:count]), among_many[:count]), count
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("shape", [(24,), (5, 24), (2, 3, 24), (2, 1, 5, 24), (0, 24)])
def test_shapes_are_those_of_torch(shape: tuple[int, ...]) -> None:
    plain, x = nn.Linear(24, 40), torch.randn(shape)
    torch.testing.assert_close(GroupedLinear(plain)(x), plain(x))
