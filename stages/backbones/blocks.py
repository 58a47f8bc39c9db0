"""The blocks of a network, in order: what `last_block` trains, what layer-wise decay counts, what LoRA adapts.

Found by structure and without knowledge of the architecture, in any network of torchvision or transformers: the
transformer layers of BERT, ViT or Swin, the stages of ResNet or ConvNeXt, the convolutions of VGG.
"""

from torch import nn

# What is before or after the blocks, or beside them; by parts of their names.
OUTSIDE = ("embed", "patch", "pooler", "classifier", "aux")
ALMOST_ALL = 0.9  # of the weights


def names(body: nn.Module) -> list[str]:
    """The names of the blocks in `body`, from input to output.

    Goes down from the whole network for as long as one part holds almost all of the weights.
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
        inside = container.get_submodule(largest)
        if sizes[largest] <= ALMOST_ALL * sum(sizes.values()) or not any(map(_size, inside.children())):
            return [prefix + name for name in sizes]
        container, prefix = inside, f"{prefix}{largest}."


def depths(body: nn.Module) -> dict[str, int]:
    """How far below the last block each parameter is: 0 in it and behind it, the number of blocks before the first."""
    blocks = names(body)
    out = {}
    place = -1  # before the first block
    for name, _ in body.named_parameters():
        place = max(place, next((n for n, block in enumerate(blocks) if name.startswith(f"{block}.")), -1))
        out[name] = len(blocks) - 1 - place
    return out


def last(body: nn.Module) -> list[str]:
    """The parameters of the last block and of what follows it.

    A block that is one layer alone does not count: the last one with several does, or else, as in VGG, the layers
    behind the last pooling that has some behind it.
    """
    blocks = names(body)
    several = [block for block in blocks if _layers(body.get_submodule(block)) > 1]
    start = several[-1] if several else _behind_pooling(body, blocks)
    parameters = [name for name, _ in body.named_parameters()]
    first = next(n for n, name in enumerate(parameters) if name.startswith(f"{start}."))
    return [name for name in parameters[first:] if not any(part in name.lower() for part in ("embed", "pooler", "aux"))]


def _behind_pooling(body: nn.Module, blocks: list[str]) -> str:
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
