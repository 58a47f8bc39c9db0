"""The blocks of a network, in order: `last_block` trains the last, layer-wise decay counts them, LoRA adapts them.

They are recognised by structure, not by architecture, in any network of torchvision, timm or transformers: the
transformer layers of BERT, ViT or Swin, the stages of ResNet or ConvNeXt, the convolutions of VGG.
"""

from torch import nn

# Parts of the names of modules before, after or beside the blocks.
OUTSIDE = ("embed", "patch", "pooler", "head", "classifier", "aux")
NEVER_LAST = ("embed", "pooler", "aux")  # parts of the names of parameters that `last_parameters` leaves out
ALMOST_ALL = 0.9  # of the weights


def names(body: nn.Module) -> list[str]:
    """Return the names of the blocks in `body`, from input to output.

    Starts with the whole network and goes down while one child holds almost all weights, or is the only one with
    several layers, as between the first and the last convolution of EfficientNet; the children are then the blocks.
    """
    container, prefix = body, ""
    while True:
        sizes = {
            name: weights
            for name, child in container.named_children()
            if (weights := _size(child)) and not any(part in name.lower() for part in OUTSIDE)
        }
        largest = max(sizes, key=sizes.__getitem__, default=None)
        if largest is None:
            return [prefix.rstrip(".")] if prefix else []
        several = [name for name in sizes if _layers(container.get_submodule(name)) > 1]
        if len(several) == 1:
            largest = several[0]
        inside = container.get_submodule(largest)
        has_all = len(several) == 1 or sizes[largest] > ALMOST_ALL * sum(sizes.values())
        if not has_all or not any(map(_size, inside.children())):
            return [prefix + name for name in sizes]
        container, prefix = inside, f"{prefix}{largest}."


def depths(body: nn.Module) -> dict[str, int]:
    """Map each parameter to its distance from the last block.

    The distance is 0 in the last block and after it, and the number of blocks for a parameter before the first.
    """
    blocks = names(body)
    distances = {}
    current = -1  # index of the last block seen; -1 before the first
    for name, _ in body.named_parameters():
        current = max(current, next((n for n, block in enumerate(blocks) if name.startswith(f"{block}.")), -1))
        distances[name] = len(blocks) - 1 - current
    return distances


def last_parameters(body: nn.Module) -> list[str]:
    """Return the names of the parameters of the last block and of what follows it.

    A block of a single layer does not count as one: the last block with several layers is taken, and if there is none,
    as in VGG, the layers after the last pooling that is followed by layers.
    """
    blocks = names(body)
    several = [block for block in blocks if _layers(body.get_submodule(block)) > 1]
    start = several[-1] if several else _after_last_pooling(body, blocks)
    parameters = [name for name, _ in body.named_parameters()]
    first = next(n for n, name in enumerate(parameters) if name.startswith(f"{start}."))
    return [name for name in parameters[first:] if not any(part in name.lower() for part in NEVER_LAST)]


def _after_last_pooling(body: nn.Module, blocks: list[str]) -> str:
    """Return the first block after the last pooling that is followed by blocks."""
    start, pooled = blocks[0], False
    parent = blocks[0].rpartition(".")[0]
    for child, module in body.get_submodule(parent).named_children():
        name = f"{parent}.{child}" if parent else child
        if "Pool" in type(module).__name__:
            pooled = True
        elif name in blocks and pooled:
            start, pooled = name, False
    return start


def _layers(module: nn.Module) -> int:
    return sum(parameter.squeeze().ndim > 1 for parameter in module.parameters())


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
