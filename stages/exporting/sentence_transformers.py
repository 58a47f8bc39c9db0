"""Write the files from which sentence-transformers, and so SetFit as a body, computes the vectors of a text model."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch

from stages import backbones
from stages.backbones import pooling, recipe
from stages.backbones import sentence_transformers as declared
from stages.backbones.encoder import WEIGHTS_FILE
from stages.backbones.recipe import Dense, LayerNorm, Recipe, Step, Truncate
from stages.common import json_file
from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams

BODY = "sentence_bert_config.json"
TYPES = "sentence_transformers.models."  # of modules, by the names that all versions know
MAX_DIFFERENCE = 1e-5  # of a number of a vector


def write(folder: Path, encoder: Any, name: str) -> None:
    """Write weights, tokenizer and recipe of a text encoder, the backbone `name`.

    Raises:
        HeadstartError: it is none, or computes vectors in a way that sentence-transformers has not.
    """
    reason = ""
    if not hasattr(encoder, "tokenizer"):
        reason = "it has no tokenizer, and so no transformer for texts"
    elif encoder.recipe.combine == "pair":
        reason = "extract.combine is pair, and sentence-transformers takes single texts"
    elif any(isinstance(step, Truncate) for step in encoder.recipe.steps):
        reason = "it cuts vectors to their first dimensions, and scales them again"
    if reason:
        raise HeadstartError(
            f"{name} has no form for sentence-transformers, as {reason}; leave out --sentence-transformers"
        )
    encoder.export(folder)
    (folder / recipe.EXPORTED).unlink()
    state = safetensors.torch.load((folder / WEIGHTS_FILE).read_bytes())  # not mapped: it is written again
    body = {name: tensor for name, tensor in state.items() if not name.startswith(pooling.PREFIX)}
    if len(body) < len(state):
        _write_weights(folder, body)
    for path, content, weights in _modules(encoder.recipe, encoder.traits.dim, state):
        (folder / path).mkdir()
        json_file.write(folder / path / "config.json", content)
        if weights:
            _write_weights(folder / path, weights)
    _write_settings(folder, encoder.recipe)


def check(folder: Path, encoder: Any, texts: Sequence[str], runtime: RuntimeParams) -> None:
    """Load what `write` wrote, as sentence-transformers reads it, and compare the vectors of texts.

    Raises:
        HeadstartError: they differ.
    """
    spec = BackboneParams(family="transformers", name=str(folder), revision=None)
    loaded = backbones.load_encoder(spec, ExtractParams(), runtime, "text")
    difference = float(np.abs(loaded.encode(texts) - encoder.encode(texts)).max())
    if not difference <= MAX_DIFFERENCE:
        raise HeadstartError(
            f"the files for sentence-transformers give vectors that differ by {difference:.1e} from those of"
            f" {encoder.name}, so nothing is written; leave out --sentence-transformers"
        )


def _modules(used: Recipe, dim: int, state: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield folder, configuration and weights of the pooling and of every step; `dim`: of a token's vector."""
    modes = used.pooling[0] if len(used.pooling) == 1 else list(used.pooling)
    yield (
        "1_Pooling",
        {"word_embedding_dimension": dim, "pooling_mode": modes, "include_prompt": used.include_prompt},
        {},
    )
    for number, step in enumerate(used.steps):
        prefix = f"{pooling.PREFIX}{number}."
        weights = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
        yield f"{number + 2}_{step.kind}", _settings(step), weights


def _settings(step: Step) -> dict[str, Any]:
    if not isinstance(step, Dense | LayerNorm):
        return {}
    content = step.model_dump(exclude={"kind", "path", "module_input_name"})
    if isinstance(step, Dense):
        content["activation_function"] = f"torch.nn.{step.activation_function}"
    return content


def _write_settings(folder: Path, used: Recipe) -> None:
    names = ["", "1_Pooling", *(f"{number}_{step.kind}" for number, step in enumerate(used.steps, 2))]
    modules = [
        {"idx": number, "name": str(number), "path": name, "type": TYPES + (name.partition("_")[2] or "Transformer")}
        for number, name in enumerate(names)
    ]
    json_file.write(folder / declared.MODULES, modules)
    json_file.write(folder / BODY, {"max_seq_length": used.max_length, "do_lower_case": used.lowercase})
    prompts = {"prompts": {"used": used.prompt}, "default_prompt_name": "used"} if used.prompt else {}
    json_file.write(folder / declared.PROMPTS, {"similarity_fn_name": "cosine", **prompts})


def _write_weights(folder: Path, state: dict[str, Any]) -> None:
    (folder / WEIGHTS_FILE).write_bytes(safetensors.torch.save(state, {"format": "pt"}))
