"""Pretrained models, one file per family; `load()` gives any of them.

A backbone turns inputs into vectors. Heavy libraries are imported with the family that needs them.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from stages.errors import HeadstartError
from stages.features import Matrix
from stages.params import BackboneParams, ExtractParams, RuntimeParams


class Backbone(Protocol):
    """What every family offers."""

    fingerprint: str  # SHA-256 over all that decides a vector
    dim: int
    is_sparse: bool

    def encode(self, inputs: Sequence[str]) -> Matrix:
        """Vectors of `inputs`, in their order: (inputs, dim) float32."""
        ...

    def save(self, folder: Path) -> None:
        """Write what `load(saved=folder)` needs; nothing where name and weights suffice."""
        ...


def load(
    spec: BackboneParams,
    settings: ExtractParams,
    runtime: RuntimeParams,
    *,
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
    if spec.family == "tfidf":
        from stages.backbones import tfidf

        return tfidf.load(spec, settings, training_texts=training_texts, saved=saved)
    if spec.family == "transformers":
        from stages.backbones import transformers

        return transformers.load(spec, settings, runtime)
    raise HeadstartError(
        "backbone.family torchvision needs images, which are not supported yet; use transformers or tfidf"
    )
