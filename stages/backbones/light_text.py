"""A text encoder without transformers, for verbs that encode few texts: its import takes longer than these.

Whether a model can be loaded so is measured once, where transformers loads it anyway: the light encoder must have the
same tokenizer, and give the same bits for texts and pairs of every kind. `deferred` keeps the answer.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from stages.backbones import bert, devices, hub, light_tokenizer, pooling, sentence_transformers
from stages.backbones.encoder import WEIGHTS_FILE, read_weights
from stages.backbones.light import Facts, Light, Traits
from stages.backbones.light_tokenizer import LightTokenizer
from stages.backbones.text import TextEncoder
from stages.backbones.text_traits import TextTraits
from stages.common import json_file
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams
from stages.common.section import validate

# Short ones and long ones, with accents, capitals, scripts, signs, names of special tokens, and nothing.
TEXTS = [
    *(
        "",
        "a",
        "Ça coûte 3.50 €!",
        "THE END",
        "你好, мир 👋🏽",
        "[SEP] and [unknown] and [MASK]",
        "x" * 300,
        "line\nbreak\t.",
    ),
    *(" ".join(f"word {number}" for number in range(count)) for count in (4, 11, 13, 17, 18, 40, 400)),
]


def describe(encoder: Any, spec: BackboneParams, settings: ExtractParams, runtime: RuntimeParams) -> Light | None:
    """Return what loads the encoder, which transformers has loaded, without it; None if it cannot be loaded so."""
    if not isinstance(encoder, TextEncoder) or encoder.device_type != "cpu" or spec.weights != "pretrained":
        return None
    tokenizer = encoder.tokenizer
    try:
        light = Light(
            facts=Facts(**{name: getattr(tokenizer, name) for name in Facts.model_fields}),
            traits=Traits(**vars(encoder.traits)),
            recipe=encoder.recipe,
        )
        is_same = _backend(tokenizer.backend_tokenizer) == _backend(light_tokenizer.read(_folder(spec)))
        return light if is_same and _encodes_alike(encoder, load(light, spec, settings, runtime)) else None
    except Exception:  # other files or weights than these; the libraries raise errors of many types
        return None


def load(
    light: Light, spec: BackboneParams, settings: ExtractParams, runtime: RuntimeParams, fingerprint: str = ""
) -> TextEncoder:
    """Load the encoder that `light` describes; it encodes, but cannot be trained or exported."""
    folder = _folder(spec)
    config = validate(bert.Config, json_file.mapping(folder / "config.json"), file=str(folder / "config.json"))
    encoder = TextEncoder(
        bert.from_state(config, read_weights(folder / WEIGHTS_FILE)),
        LightTokenizer(folder, light.facts),
        settings,
        part=None,
        traits=TextTraits(**dict(light.traits), options={}),
        recipe=light.recipe,
        steps=pooling.pretrained(hub.resolve(spec.name, spec.revision)[0], light.recipe, spec.name),
        fingerprint=fingerprint,
        name=spec.name,
    )
    return encoder.to(devices.choose(runtime)).eval()


def _folder(spec: BackboneParams) -> Path:
    """Return the folder of the transformer and its tokenizer."""
    return sentence_transformers.read(hub.resolve(spec.name, spec.revision)[0])[0]


def _backend(tokenizer: Any) -> dict[str, Any]:
    """Return all that decides the tokens; texts are cut and padded elsewhere."""
    content: dict[str, Any] = json.loads(tokenizer.to_str())
    return {**content, "truncation": None, "padding": None}


def _encodes_alike(encoder: TextEncoder, other: TextEncoder) -> bool:
    inputs = list(zip(TEXTS, reversed(TEXTS), strict=True)) if encoder.recipe.combine == "pair" else TEXTS
    results = zip(encoder.encode_with_tokens(inputs), other.encode_with_tokens(inputs), strict=True)
    return all(np.array_equal(one, another) for one, another in results)
