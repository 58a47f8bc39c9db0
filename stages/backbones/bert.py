"""BERT (Devlin et al. 2019) for inference: what BertModel of transformers computes, to the bit, without its import.

transformers takes longer to import than a few texts take to encode.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.backbones.recipe import File
from stages.common.setting_types import Count

PREFIX = "bert."  # of the weights in checkpoints that were trained on masked words
UNUSED = ("pooler.", "cls.")  # weights of other outputs than the vectors of tokens


class Config(File):
    """The keys of config.json that are read; models with other values than these are left to transformers."""

    model_type: Literal["bert"]
    hidden_act: Literal["gelu"]
    vocab_size: Count
    hidden_size: Count
    num_hidden_layers: Count
    num_attention_heads: Count
    intermediate_size: Count
    max_position_embeddings: Count
    type_vocab_size: Count
    layer_norm_eps: float


class Output(NamedTuple):
    """What transformers calls the vectors of the tokens: (rows, length, dim)."""

    last_hidden_state: Tensor


class Bert(nn.Module):
    """The network; its weights have the names that transformers gives them."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dim = config.hidden_size
        tables = {
            "word_embeddings": config.vocab_size,
            "position_embeddings": config.max_position_embeddings,
            "token_type_embeddings": config.type_vocab_size,
        }
        self.embeddings = nn.ModuleDict()
        for name, size in tables.items():
            # Not nn.Embedding, which draws numbers: without memory for them, torch imports its compiler for that.
            self.embeddings[name] = nn.Embedding.from_pretrained(torch.empty(size, dim))  # type: ignore[no-untyped-call]
        self.embeddings["LayerNorm"] = nn.LayerNorm(dim, eps=config.layer_norm_eps)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))})

    def get_input_embeddings(self) -> nn.Module:
        """Return the table of tokens, as networks of transformers do."""
        return self.embeddings["word_embeddings"]

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Output:
        """Compute the vectors of tokens; all arguments are (rows, length)."""
        rows, length = input_ids.shape
        types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        positions = torch.arange(length, device=input_ids.device)
        hidden = self.embeddings["word_embeddings"](input_ids) + self.embeddings["token_type_embeddings"](types)
        hidden = self.embeddings["LayerNorm"](hidden + self.embeddings["position_embeddings"](positions))
        mask = None if attention_mask.all() else attention_mask.bool()[:, None, None].expand(rows, 1, length, length)
        for layer in self.encoder["layer"].children():
            hidden = layer(hidden, mask)
        return Output(hidden)


class GELUActivation(nn.GELU):
    """Has the name of that of transformers, by which `inference` finds what it joins."""


class _Layer(nn.Module):
    """Attention and two linear layers, each with a shortcut and a norm behind it."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dim, self._heads = config.hidden_size, config.num_attention_heads
        projections = nn.ModuleDict({name: nn.Linear(dim, dim) for name in ("query", "key", "value")})
        self.attention = nn.ModuleDict({"self": projections, "output": _dense_and_norm(dim, config)})
        self.intermediate = nn.ModuleDict(
            {
                "dense": nn.Linear(dim, config.intermediate_size),
                "intermediate_act_fn": GELUActivation(),
            }
        )
        self.output = _dense_and_norm(config.intermediate_size, config)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        rows, length, dim = hidden.shape
        shape = (rows, length, self._heads, dim // self._heads)
        projections = self.attention["self"]
        query, key, value = (projection(hidden).view(shape).transpose(1, 2) for projection in projections.children())
        context = functional.scaled_dot_product_attention(query, key, value, mask, scale=shape[-1] ** -0.5)
        context = context.transpose(1, 2).reshape(rows, length, dim)
        hidden = _joined(self.attention["output"], context, hidden)
        inner = self.intermediate["intermediate_act_fn"](self.intermediate["dense"](hidden))
        return _joined(self.output, inner, hidden)


def _dense_and_norm(width: int, config: Config) -> nn.ModuleDict:
    norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
    return nn.ModuleDict({"dense": nn.Linear(width, config.hidden_size), "LayerNorm": norm})


def _joined(output: Any, inner: Tensor, shortcut: Tensor) -> Tensor:
    joined: Tensor = output["LayerNorm"](output["dense"](inner) + shortcut)
    return joined


def from_state(config: Config, state: Mapping[str, Tensor]) -> Bert:
    """Return the network with these weights, in float32 and evaluation mode.

    Raises:
        RuntimeError: the weights are others than those of the network.
    """
    with torch.device("meta"):
        body = Bert(config)
    named = {name.removeprefix(PREFIX): tensor.float() for name, tensor in state.items()}
    used = {name: tensor for name, tensor in named.items() if not name.startswith(UNUSED)}
    used.pop("embeddings.position_ids", None)  # the numbers from 0 on, in old checkpoints
    body.load_state_dict(used, assign=True)
    return body.eval()
