"""Vectors of rows by any backbone, through the row cache where it pays, for extract and compare_backbones.

Of several backbones that are joined, every one has a row cache of its own.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import pyarrow as pa

from stages import backbones
from stages.backbones import Backbone, combined, deferred
from stages.common import backbone_shorthand
from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, Backbones, ExtractParams, Modality, RuntimeParams
from stages.extraction import encode
from stages.extraction.row_cache import RowCache
from stages.tables import features, prepared, shards
from stages.tables.features import Matrix
from stages.tables.prepared import Window

if TYPE_CHECKING:
    from stages.backbones.encoder import Encoder

Caches: TypeAlias = "tuple[RowCache | None, ...]"  # of the members of a backbone; None where no cache is used


def load_backbone(
    prepared_folder: Path, spec: Backbones, settings: ExtractParams, runtime: RuntimeParams, modality: Modality
) -> Backbone:
    """Load a backbone; what has no pretrained weights is fitted on all training texts. Raises as `backbones.load`."""
    return deferred.load(
        spec, settings, runtime, modality=modality, training_texts=lambda: _training_texts(prepared_folder)
    )


def is_cached(spec: BackboneParams) -> bool:
    """Tell whether vectors of this backbone are worth keeping; the others are as fast as the cache, and a cluster."""
    return spec.family in backbones.TRAINABLE


def members(backbone: Backbone, spec: Backbones) -> Iterator[tuple[Backbone, BackboneParams]]:
    """Yield the members of a backbone with their sections; a single backbone is its only member."""
    yield from zip(combined.members(backbone), backbone_shorthand.members(spec), strict=True)


@contextmanager
def open_caches(backbone: Backbone, spec: Backbones, runtime: RuntimeParams) -> Iterator[Caches]:
    """Open the row caches of a backbone on this machine. Raises as `RowCache` does."""
    caches: list[RowCache | None] = []
    with ExitStack() as stack:
        for member, section in members(backbone, spec):
            cache = None
            if runtime.row_cache and is_cached(section):
                encoder = cast("Encoder", member)
                opened = encode.open_cache(encoder, member.settings, runtime, encoder.device_type)
                cache = stack.enter_context(opened)
            caches.append(cache)
        yield tuple(caches)


def encode_window(
    backbone: Backbone, caches: Caches, inputs: Sequence[Any], advance: Callable[[int], object]
) -> tuple[Matrix, np.ndarray, int]:
    """Get the vectors of `inputs`, (inputs, dim), counts of tokens, (inputs, 2), and how many vectors the caches had.

    Progress is reported to `advance`: a row for every member.
    """
    parts = [
        _encode_window(member, cache, inputs, advance)
        for member, cache in zip(combined.members(backbone), caches, strict=True)
    ]
    if not isinstance(backbone, combined.Combined):
        return parts[0]
    vectors, counts, known = zip(*parts, strict=True)
    return backbone.join(vectors), counts[backbone.counted], sum(known)


def _encode_window(
    backbone: Backbone, cache: RowCache | None, inputs: Sequence[Any], advance: Callable[[int], object]
) -> tuple[Matrix, np.ndarray, int]:
    """Do the work of `encode_window` for a single backbone."""
    if cache:
        return encode.encode_window(cast("Encoder", backbone), cache, inputs, advance)
    if backbone.max_length is not None:
        return *cast("Encoder", backbone).encode_with_tokens(inputs, advance), 0
    X = backbone.encode(inputs)
    advance(len(inputs))
    return X, np.zeros((len(inputs), 2), np.int32), 0


def stored_vectors(backbone: Backbone, spec: Backbones, runtime: RuntimeParams, inputs: Sequence[Any]) -> Matrix:
    """Return the vectors of inputs as a feature table holds them, (inputs, dim) float32, through the row caches.

    Where the cache folder cannot be used, all are computed.
    """
    with ExitStack() as stack:
        caches: Caches = (None,) * len(combined.members(backbone))
        with suppress(HeadstartError):
            caches = stack.enter_context(open_caches(backbone, spec, runtime))
        X, _, _ = encode_window(backbone, caches, inputs, lambda _: None)
    return _as_read(X, backbone)


def known_vectors(backbone: Backbone, spec: Backbones, runtime: RuntimeParams, inputs: Sequence[Any]) -> Matrix:
    """Return what `stored_vectors` does, but only look into the row caches: nothing is put there, nor a cache made."""
    parts = [_known_vectors(member, section, runtime, inputs) for member, section in members(backbone, spec)]
    return _as_read(backbone.join(parts) if isinstance(backbone, combined.Combined) else parts[0], backbone)


def _known_vectors(backbone: Backbone, spec: BackboneParams, runtime: RuntimeParams, inputs: Sequence[Any]) -> Matrix:
    """Do the work of `known_vectors` for a single backbone."""
    encoder = cast("Encoder", backbone)
    with ExitStack() as stack:
        cache: RowCache | None = None
        with suppress(HeadstartError):
            if runtime.row_cache and is_cached(spec) and encode.has_cache(encoder, encoder.device_type):
                (cache,) = stack.enter_context(open_caches(backbone, spec, runtime))
        with np.errstate(over="ignore"):
            return encode.look_up(encoder, cache, inputs) if cache else backbone.encode(inputs)


def _as_read(X: Matrix, backbone: Backbone) -> Matrix:
    """Round vectors as a feature table does."""
    if not isinstance(X, np.ndarray):
        return X
    with np.errstate(over="ignore"):
        return X.astype(backbone.settings.dtype, copy=False).astype(np.float32)


def unlabelled_ids(prepared_folder: Path, limit: bool | int) -> frozenset[str]:
    """Return the ids of the unlabelled rows that get vectors, by `extract.unlabelled`."""
    if limit is False:
        return frozenset()
    table = shards.read_all(prepared_folder / prepared.UNLABELLED, pa.schema([features.IDENTITY.field("id")]))
    ids = table["id"].to_pylist()
    return frozenset(prepared.sample_unlabelled(ids, len(ids) if limit is True else limit))


def count(prepared_folder: Path, unlabelled: Collection[str]) -> int:
    """Count the rows that get vectors; `unlabelled`: see `unlabelled_ids`."""
    splits = [table for table in prepared.tables(prepared_folder) if table != prepared.UNLABELLED]
    return sum(shards.count(prepared_folder / split) for split in splits) + len(unlabelled)


def windows(
    prepared_folder: Path, split: str, modality: Modality, settings: ExtractParams, unlabelled: Collection[str]
) -> Iterator[Window]:
    """Yield the rows of a split that get vectors, as `prepared.windows` does; `unlabelled`: see `unlabelled_ids`."""
    for window in prepared.windows(prepared_folder, split, modality, combine=settings.combine):
        if split != prepared.UNLABELLED:
            yield window
        elif chosen := [row for row, row_id in enumerate(window.ids) if row_id in unlabelled]:
            yield window.select(chosen)


def _training_texts(prepared_folder: Path) -> Iterator[str]:
    """Yield the training texts, or where there are none the unlabelled ones, to fit a backbone without weights on."""
    split = "train" if shards.count(prepared_folder / "train") else prepared.UNLABELLED
    for window in prepared.windows(prepared_folder, split, "text"):
        yield from window.inputs
