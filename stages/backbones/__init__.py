"""Pretrained models, one file per family; `load()` gives any of them.

A backbone turns inputs into vectors. Heavy libraries are imported with the family that needs them.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, ExtractParams, Modality, RuntimeParams
from stages.tables.features import Matrix

if TYPE_CHECKING:
    from stages.backbones.encoder import Encoder

FAMILIES: dict[str, tuple[Modality, ...]] = {
    "transformers": ("text", "image"),
    "torchvision": ("image",),
    "tfidf": ("text",),
    "pixels": ("image",),
}
TRAINABLE = ("transformers", "torchvision")


class Backbone(Protocol):
    """What every family offers."""

    fingerprint: str  # SHA-256 over all that decides a vector
    dim: int
    is_sparse: bool

    def encode(self, inputs: Sequence[Any]) -> Matrix:
        """Vectors of `inputs` (str, or encoded images), in their order: (inputs, dim) float32."""
        ...

    def save(self, folder: Path) -> None:
        """Write what `load(saved=folder)` needs; nothing where name and weights suffice."""
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
        training_texts: gives the texts that a backbone without pretrained weights of its own is fitted on.
        saved: folder that `Backbone.save` wrote; takes the place of fitting.

    Raises:
        HeadstartError: unknown name, weights that are missing, refused or do not fit, or no network to get them.
    """
    if modality not in FAMILIES[spec.family]:
        able = " or ".join(family for family, modalities in FAMILIES.items() if modality in modalities)
        raise HeadstartError(
            f"backbone.family {spec.family} does not encode {modality}, which the prepared rows hold; use {able}"
        )
    match spec.family:
        case "tfidf":
            from stages.backbones import tfidf

            return tfidf.load(spec, settings, training_texts=training_texts, saved=saved)
        case "pixels":
            from stages.backbones import pixels

            return pixels.load(spec, settings)
        case _:
            return load_encoder(spec, settings, runtime, modality)


def load_encoder(
    spec: BackboneParams, settings: ExtractParams, runtime: RuntimeParams, modality: Modality
) -> "Encoder":
    """Load a backbone that can be trained on. Raises as `load`."""
    if spec.family == "transformers":
        from stages.backbones import transformers

        return transformers.load(spec, settings, runtime, modality)
    from stages.backbones import torchvision

    return torchvision.load(spec, settings, runtime)


def load_finetuned(
    folder: Path, spec: BackboneParams, settings: ExtractParams, runtime: RuntimeParams, modality: Modality
) -> "Encoder":
    """Load what `Encoder.export` wrote into `folder`; `spec` is the backbone that it came from."""
    if spec.family == "transformers":
        from stages.backbones import transformers

        return transformers.load_finetuned(folder, settings, runtime, modality)
    from stages.backbones import torchvision

    return torchvision.load_finetuned(folder, spec.name, settings, runtime)
