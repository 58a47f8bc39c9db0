"""Get the vectors of rows from the row cache; compute and store those that it lacks."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.common.params import ExtractParams, RuntimeParams
from stages.extraction import row_cache_files
from stages.extraction.row_cache import RowCache
from stages.tables import prepared

if TYPE_CHECKING:
    from stages.backbones.deferred import DeferredEncoder
    from stages.backbones.encoder import Encoder

MAX_UNSAVED_SECONDS = 1.0  # of computing, which are lost if the process is killed
COUNTS = np.dtype(("<i4", 2))  # how the cache stores the tokens of a text and the unclear ones, behind its vector


def open_cache(
    encoder: "Encoder | DeferredEncoder", settings: ExtractParams, runtime: RuntimeParams, device: str
) -> RowCache:
    """Open the cache of the encoder's vectors on a type of device; an accelerator rounds differently."""
    limit = round(runtime.row_cache_gb * 10**9)
    values = encoder.dim + COUNTS.itemsize // np.dtype(settings.dtype).itemsize
    return RowCache(_cache_name(encoder, device), dim=values, dtype=settings.dtype, limit_bytes=limit)


def has_cache(encoder: "Encoder | DeferredEncoder", device: str) -> bool:
    """Tell whether there is a cache of the encoder's vectors on a type of device."""
    return (row_cache_files.folder() / f"{_cache_name(encoder, device)}.sqlite").is_file()


def _cache_name(encoder: "Encoder | DeferredEncoder", device: str) -> str:
    return encoder.fingerprint if device == "cpu" else f"{encoder.fingerprint}-{device}"


def look_up(encoder: "Encoder | DeferredEncoder", cache: RowCache, inputs: Sequence[Any]) -> np.ndarray:
    """Get the vectors of inputs, (inputs, dim) in the stored type; those that the cache lacks are not put there."""
    known, stored = cache.get([prepared.content_id(content) for content in inputs])
    X = stored[:, : encoder.dim]
    if not known.all():
        X[~known] = encoder.encode([inputs[row] for row in np.flatnonzero(~known).tolist()])
    return X


def records(X: np.ndarray, counts: np.ndarray, dtype: str) -> np.ndarray:
    """Join vectors, (rows, dim), and counts of tokens, (rows, 2), as the cache stores them: (rows, values)."""
    return np.hstack([X.astype(dtype, copy=False), np.ascontiguousarray(counts, COUNTS.base).view(dtype)])


def encode_window(
    encoder: "Encoder | DeferredEncoder", cache: RowCache, inputs: Sequence[Any], advance: Callable[[int], object]
) -> tuple[np.ndarray, np.ndarray, int]:
    """Get the vectors of a window of rows.

    Args:
        inputs: (rows,) texts or encoded images.
        advance: called with the number of rows that are done since the last call.

    Returns:
        (rows, dim) vectors in the stored type, (rows, 2) counts of tokens, and the number of rows that the cache had.
    """
    keys = [prepared.content_id(content) for content in inputs]
    known, stored = cache.get(keys)
    with ExitStack() as stack:
        if not known.all():
            stack.enter_context(cache.turn())
            known, stored = cache.get(keys)  # another process may have computed them meanwhile
        advance(int(known.sum()))
        if not known.all():
            rows = np.flatnonzero(~known).tolist()
            _compute(encoder, cache, inputs=inputs, keys=keys, rows=rows, stored=stored, advance=advance)
    counts = np.ascontiguousarray(stored[:, encoder.dim :]).view(COUNTS.base)
    return stored[:, : encoder.dim], counts, int(known.sum())


def _compute(
    encoder: "Encoder | DeferredEncoder",
    cache: RowCache,
    *,
    inputs: Sequence[Any],
    keys: Sequence[str],
    rows: Sequence[int],
    stored: np.ndarray,
    advance: Callable[[int], object],
) -> None:
    """Compute the records of `rows` into `stored` and put them into the cache; identical inputs are computed once."""
    rows_by_key: dict[str, list[int]] = {}
    for row in rows:
        rows_by_key.setdefault(keys[row], []).append(row)
    first_rows = [same[0] for same in rows_by_key.values()]
    unsaved: list[int] = []

    def save() -> None:
        cache.put([keys[row] for row in unsaved], stored[unsaved])
        unsaved.clear()

    saved_at = time.perf_counter()
    for encoded in encoder.stream([inputs[row] for row in first_rows]):
        computed = [first_rows[position] for position in encoded.positions]
        stored[computed] = records(encoded.vectors, encoded.counts, stored.dtype.name)
        unsaved += computed
        advance(len(computed))
        if time.perf_counter() - saved_at > MAX_UNSAVED_SECONDS:
            save()
            saved_at = time.perf_counter()
    save()
    for same in rows_by_key.values():
        stored[same] = stored[same[0]]
        advance(len(same) - 1)
