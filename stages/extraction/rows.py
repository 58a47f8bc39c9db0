"""Vectors of rows by any backbone, through the row cache where it pays, for extract and compare_backbones."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from stages import backbones
from stages.backbones import Backbone, deferred
from stages.common.params import BackboneParams, ExtractParams, Modality, RuntimeParams
from stages.extraction import encode
from stages.extraction.row_cache import RowCache
from stages.tables import prepared
from stages.tables.features import Matrix

if TYPE_CHECKING:
    from stages.backbones.encoder import Encoder


def load_backbone(
    prepared_folder: Path, spec: BackboneParams, settings: ExtractParams, runtime: RuntimeParams, modality: Modality
) -> Backbone:
    """Load a backbone, or fit one without pretrained weights on all training texts. Raises as `backbones.load` does."""
    return deferred.load(
        spec, settings, runtime, modality=modality, training_texts=lambda: _training_texts(prepared_folder)
    )


def is_cached(spec: BackboneParams) -> bool:
    """Tell whether vectors of this backbone are worth keeping; the others are as fast as the cache, and a cluster."""
    return spec.family in backbones.TRAINABLE


@contextmanager
def open_cache(
    backbone: Backbone, spec: BackboneParams, settings: ExtractParams, runtime: RuntimeParams
) -> Iterator[RowCache | None]:
    """Open the row cache of a backbone on this machine; None where no cache is used. Raises as `RowCache` does."""
    if not runtime.row_cache or not is_cached(spec):
        yield None
        return
    encoder = cast("Encoder", backbone)
    with encode.open_cache(encoder, settings, runtime, encoder.device_type) as cache:
        yield cache


def encode_window(
    backbone: Backbone, cache: RowCache | None, inputs: Sequence[Any], advance: Callable[[int], object]
) -> tuple[Matrix, np.ndarray, int]:
    """Get the vectors of `inputs`, (inputs, dim), counts of tokens, (inputs, 2), and how many rows the cache had.

    Progress is reported to `advance`.
    """
    if cache:
        return encode.encode_window(cast("Encoder", backbone), cache, inputs, advance)
    if backbone.max_length is not None:
        return *cast("Encoder", backbone).encode_with_tokens(inputs, advance), 0
    X = backbone.encode(inputs)
    advance(len(inputs))
    return X, np.zeros((len(inputs), 2), np.int32), 0


def _training_texts(prepared_folder: Path) -> Iterator[str]:
    for window in prepared.windows(prepared_folder, "train", "text"):
        yield from window.inputs
