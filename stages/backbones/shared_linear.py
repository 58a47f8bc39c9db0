"""What linear layers have in common that compute another one's product in another way."""

from torch import nn


class SharedLinear(nn.Linear):
    """A linear layer that shares the weights of another one, which it replaces."""

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)  # that of nn.Linear would make weights
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
