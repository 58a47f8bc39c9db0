"""Linear layers of torch that give a row the same result however many rows there are.

The products of torch's default (MKL) take rows four at a time and round the one to three that are left otherwise, for
each thread: on 2 threads of AVX2, 1 to 3, 5 to 7 and 9 to 11 rows differed from the same rows among 4,096 by one bit;
on 16 threads up to 27 did. Multiples of four never did.
"""

import torch
from torch import Tensor
from torch.nn import functional

from stages.backbones.shared_linear import SharedLinear

GROUP = 4


class GroupedLinear(SharedLinear):
    """A linear layer for inference, which fills up the last group of few rows."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `x`, (…, in_features) float32, to (…, out_features)."""
        rows = x.numel() // self.in_features
        if rows % GROUP == 0 or rows >= 8 * torch.get_num_threads() + 16:
            return super().forward(x)
        filled = functional.pad(x.reshape(rows, self.in_features), (0, 0, 0, -rows % GROUP))
        return super().forward(filled)[:rows].view(*x.shape[:-1], self.out_features)
