"""AdamW (Loshchilov and Hutter 2019) with rates of their own for the backbone's blocks and the classifier layer."""

import torch
from torch import nn

from stages.backbones import blocks
from stages.common.params import FinetuneParams
from stages.finetuning.classifier import Classifier


def build(classifier: Classifier, settings: FinetuneParams) -> torch.optim.Optimizer:
    """An optimiser of what is trained in `classifier`; the classifier layer is in the first group.

    Every block below the last one learns at `layer_decay` times the rate of the one above it (Howard and Ruder 2018,
    ULMFiT). Weight decay is not for biases, norms and other parameters of one dimension.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    depths = {f"encoder.body.{name}": depth for name, depth in blocks.depths(classifier.encoder.body).items()}
    head_first = reversed(list(classifier.named_parameters()))
    for name, parameter in head_first:
        if not parameter.requires_grad:
            continue
        if (depth := depths.get(name)) is None:
            rate = settings.head_learning_rate
        else:
            rate = settings.learning_rate * settings.layer_decay**depth
        decay = settings.weight_decay if parameter.squeeze().ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [{"params": group, "lr": rate, "weight_decay": decay} for (rate, decay), group in groups.items()],
        fused=classifier.encoder.device.type in ("cpu", "cuda"),
    )
