"""Pretrained models that turn inputs into vectors, one file per family; `load` loads a model of any family.

Heavy libraries are imported with the family that needs them.
"""

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, Backbones, ExtractParams, Modality, RuntimeParams
from stages.tables.features import Matrix

if TYPE_CHECKING:
    from stages.backbones.encoder import Encoder

FAMILIES: dict[str, tuple[Modality, ...]] = {
    "transformers": ("text", "image"),
    "torchvision": ("image",),
    "timm": ("image",),
    "tfidf": ("text",),
    "pixels": ("image",),
}
TRAINABLE = ("transformers", "torchvision", "timm")


def untrainable(spec: Backbones) -> str:
    """Say why finetune cannot train a backbone; empty where it can."""
    if isinstance(spec, tuple):
        return f"backbone is a list of {len(spec)}, and only one by itself can be trained"
    return "" if spec.family in TRAINABLE else f"backbone.family {spec.family} has no weights to train"


class Backbone(Protocol):
    """The interface of every family."""

    settings: ExtractParams  # that were used
    fingerprint: str  # SHA-256 over everything that decides a vector
    dim: int
    is_sparse: bool
    max_length: int | None  # tokens that are read of a text at a time; None without tokens
    recipe_sentence: str  # says how texts become vectors; empty where there is nothing to say

    @property
    def size_bytes(self) -> int:
        """Bytes of its weights, or of what it learned otherwise."""
        ...

    def encode(self, inputs: Sequence[Any]) -> Matrix:
        """Return the vectors of `inputs` (str or encoded images) in order: (inputs, dim) float32."""
        ...

    def save(self, folder: Path) -> None:
        """Write the files that `load(saved=folder)` needs; none if name and weights suffice."""
        ...


def load(
    spec: BackboneParams,
    settings: ExtractParams,
    runtime: RuntimeParams,
    *,
    modality: Modality,
    training_texts: Callable[[], Iterable[str]] | None = None,
    saved: Path | None = None,
) -> Backbone:
    """Load a backbone.

    Args:
        training_texts: returns the texts to fit a backbone on that has no pretrained weights.
        saved: folder that `Backbone.save` wrote, to load instead of fitting.

    Raises:
        HeadstartError: the name is unknown; or the weights are missing, cannot be downloaded, are refused or do not
            fit.
    """
    check(spec, settings, modality)
    match spec.family:
        case "tfidf":
            from stages.backbones import tfidf

            return tfidf.load(spec, settings, training_texts=training_texts, saved=saved)
        case "pixels":
            from stages.backbones import pixels

            return pixels.load(spec, settings)
        case _:
            return load_encoder(spec, settings, runtime, modality)


def check(spec: BackboneParams, settings: ExtractParams, modality: Modality) -> None:
    """Raise a HeadstartError if a family does not read inputs of this modality, or no pairs where these are wanted."""
    if modality not in FAMILIES[spec.family]:
        usable = " or ".join(family for family, modalities in FAMILIES.items() if modality in modalities)
        raise HeadstartError(
            f"backbone.family {spec.family} does not encode {modality}, which the prepared rows hold; use {usable}"
        )
    if settings.combine == "pair" and (modality, spec.family) != ("text", "transformers"):
        family = f"backbone.family {spec.family} reads no pairs of texts"
        reason = "the prepared rows hold images" if modality == "image" else family
        raise HeadstartError(f"extract.combine is pair, but {reason}; set combine to join")


def load_encoder(
    spec: BackboneParams, settings: ExtractParams, runtime: RuntimeParams, modality: Modality
) -> "Encoder":
    """Load a backbone of a `TRAINABLE` family. Raises the errors of `load`."""
    match spec.family:
        case "transformers":
            from stages.backbones import transformers

            return transformers.load(spec, settings, runtime, modality)
        case "timm":
            _check_timm()
            from stages.backbones import timm

            return timm.load(spec, settings, runtime)
        case _:
            from stages.backbones import torchvision

            return torchvision.load(spec, settings, runtime)


def load_finetuned(
    folder: Path, spec: BackboneParams, settings: ExtractParams, runtime: RuntimeParams, modality: Modality
) -> "Encoder":
    """Load the encoder that `Encoder.export` wrote into `folder`; `spec` is the backbone that was fine-tuned."""
    match spec.family:
        case "transformers":
            from stages.backbones import transformers

            return transformers.load_finetuned(folder, settings, runtime, modality)
        case "timm":
            _check_timm()
            from stages.backbones import timm

            return timm.load_finetuned(folder, settings, runtime)
        case _:
            from stages.backbones import torchvision

            return torchvision.load_finetuned(folder, spec.name, settings, runtime)


def _check_timm() -> None:
    """Refuse the family timm where its library is not installed."""
    if importlib.util.find_spec("timm") is None:
        raise HeadstartError("backbone.family is timm, which is not installed; pip install -e '.[timm]'")
