"""Pool the vectors of a text's tokens, and apply the steps that a recipe has after that."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from stages.backbones import hub
from stages.backbones.encoder import read_weights
from stages.backbones.recipe import Dense, LayerNorm, Mode, Normalize, Recipe, Step, Truncate
from stages.common.errors import HeadstartError, listed

PREFIX = "steps."  # of the steps' weights in a file that also holds those of the transformer


def pool(hidden: Tensor, mask: Tensor, modes: Iterable[Mode]) -> Tensor:
    """Pool the vectors of tokens: (rows, dim of all modes).

    Args:
        hidden: (rows, length, dim), padded on the right.
        mask: (rows, length) bool, true for the tokens that count.
    """
    vectors = [_pool(hidden, mask, mode) for mode in modes]
    return vectors[0] if len(vectors) == 1 else torch.cat(vectors, dim=1)


def _pool(hidden: Tensor, mask: Tensor, mode: Mode) -> Tensor:
    column = mask.unsqueeze(-1)  # (rows, length, 1)
    rows = torch.arange(hidden.shape[0], device=hidden.device)
    match mode:
        case "cls":  # the first token that counts
            return hidden[rows, mask.int().argmax(dim=1)]
        case "lasttoken":
            return hidden[rows, mask.shape[1] - 1 - mask.flip(1).int().argmax(dim=1)]
        case "max":
            return hidden.masked_fill(~column, -torch.inf).amax(dim=1)
        case "mean":
            return hidden.masked_fill(~column, 0).sum(dim=1) / column.sum(dim=1)
        case "mean_sqrt_len_tokens":
            return hidden.masked_fill(~column, 0).sum(dim=1) / column.sum(dim=1).sqrt()
        case "weightedmean":  # later tokens count more (Muennighoff 2022, SGPT)
            weights = column * torch.arange(1, mask.shape[1] + 1, device=hidden.device).view(1, -1, 1)
            return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


class Steps(nn.Sequential):
    """The steps after the pooling: from (rows, dim of the pooling) to (rows, dim)."""

    def __init__(self, steps: Iterable[Step]) -> None:
        super().__init__(*map(_module, steps))
        self._has_weights = any(True for _ in self.parameters())

    def forward(self, vectors: Tensor) -> Tensor:
        """Apply all steps.

        In inference on a CPU every row is computed alone, since products of other shapes round otherwise: a row gets
        the same vector whatever the rows beside it.
        """
        if not self._has_weights or vectors.device.type != "cpu" or torch.is_grad_enabled():
            return self._all(vectors)
        return torch.cat([self._all(vectors[row : row + 1]) for row in range(len(vectors))])

    def _all(self, vectors: Tensor) -> Tensor:
        for step in self:
            vectors = step(vectors)
        return vectors


class _Dense(nn.Module):
    """The layer of sentence-transformers, whose weights have these names."""

    def __init__(self, step: Dense) -> None:
        super().__init__()
        self.linear = nn.Linear(step.in_features, step.out_features, bias=step.bias)
        self.activation = getattr(nn, step.activation_function)()
        if step.use_residual and step.in_features != step.out_features:
            self.residual: nn.Module | None = nn.Linear(step.in_features, step.out_features, bias=False)
        else:
            self.residual = nn.Identity() if step.use_residual else None

    def forward(self, vectors: Tensor) -> Tensor:
        out: Tensor = self.activation(self.linear(vectors))
        return out if self.residual is None else out + self.residual(vectors)


class _LayerNorm(nn.Module):
    def __init__(self, step: LayerNorm) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(step.dimension)

    def forward(self, vectors: Tensor) -> Tensor:
        out: Tensor = self.norm(vectors)
        return out


class _Truncate(nn.Module):
    def __init__(self, step: Truncate) -> None:
        super().__init__()
        self._dimension = step.dimension

    def forward(self, vectors: Tensor) -> Tensor:
        return vectors[:, : self._dimension]


class _Normalize(nn.Module):
    def forward(self, vectors: Tensor) -> Tensor:
        return nn.functional.normalize(vectors, dim=1)


def _module(step: Step) -> nn.Module:
    match step:
        case Dense():
            return _Dense(step)
        case LayerNorm():
            return _LayerNorm(step)
        case Truncate():
            return _Truncate(step)
        case Normalize():
            return _Normalize()


def weight_files(folder: Path, recipe: Recipe) -> list[Path]:
    """List the weight files of the steps of the model in `folder`.

    Raises:
        HeadstartError: a step has none, or only pickled ones.
    """
    paths = [step.path for step in recipe.steps if isinstance(step, Dense | LayerNorm) and step.path]
    return [file for path in paths for file in hub.weight_files(folder / path)]


def random(recipe: Recipe) -> Steps:
    """Build the steps with random weights, the same in every run."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Steps(recipe.steps)


def pretrained(folder: Path, recipe: Recipe, name: str) -> Steps:
    """Build the steps with the weights in the folders that they name, or else in those of the model itself.

    Raises:
        HeadstartError: weights are missing, or do not fit.
    """
    state: dict[str, Tensor] = {}
    for number, step in enumerate(recipe.steps):
        if not isinstance(step, Dense | LayerNorm):
            continue
        prefix = f"{PREFIX}{number}." if step.path else ""
        for file in hub.weight_files(folder / step.path):
            state |= {f"{prefix}{key}": tensor for key, tensor in read_weights(file).items()}
    return from_state(state, recipe, name)


def from_state(state: Mapping[str, Tensor], recipe: Recipe, name: str) -> Steps:
    """Build the steps with their weights in `state`, which may hold others.

    Raises:
        HeadstartError: a weight is missing, or does not fit.
    """
    steps = Steps(recipe.steps)
    own = {key.removeprefix(PREFIX): tensor.float() for key, tensor in state.items() if key.startswith(PREFIX)}
    wanted = steps.state_dict()
    if missing := sorted(wanted.keys() - own.keys()):
        raise HeadstartError(
            f"the weights of {name} lack {listed((PREFIX + key for key in missing), limit=5)}; they do not fit the"
            " steps after its pooling"
        )
    for key, tensor in wanted.items():
        if own[key].shape != tensor.shape:
            raise HeadstartError(
                f"the weights of {name} have {PREFIX}{key} of {tuple(own[key].shape)}, but its configuration says"
                f" {tuple(tensor.shape)}; copy or download the model again"
            )
    steps.load_state_dict({key: own[key] for key in wanted})
    return steps
