"""Get the vectors of rows from the row cache; compute and store those that it lacks."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.common.params import ExtractParams, RuntimeParams
from stages.extraction.row_cache import RowCache
from stages.tables import prepared

if TYPE_CHECKING:
    from stages.backbones.encoder import Encoder

MAX_UNSAVED_SECONDS = 1.0  # of computing, which are lost if the process is killed


def open_cache(encoder: "Encoder", settings: ExtractParams, runtime: RuntimeParams, device: str) -> RowCache:
    """Open the cache of the encoder's vectors; the same row has another vector on another type of device."""
    limit = round(runtime.row_cache_gb * 10**9)
    return RowCache(encoder.cache_name(device), dim=encoder.dim, dtype=settings.dtype, limit_bytes=limit)


def encode_window(
    encoder: "Encoder", cache: RowCache, inputs: Sequence[Any], advance: Callable[[int], object]
) -> tuple[np.ndarray, int]:
    """Get the vectors of a window of rows.

    Args:
        inputs: (rows,) texts or encoded images.
        advance: called with the number of rows that are done since the last call.

    Returns:
        (rows, dim) vectors in the stored type, and the number of rows that the cache had.
    """
    keys = [prepared.content_id(content) for content in inputs]
    known, X = cache.get(keys)
    with ExitStack() as stack:
        if not known.all():
            stack.enter_context(cache.turn())
            known, X = cache.get(keys)  # another process may have computed them meanwhile
        advance(int(known.sum()))
        if not known.all():
            rows = np.flatnonzero(~known).tolist()
            _compute(encoder, cache, inputs=inputs, keys=keys, rows=rows, X=X, advance=advance)
    return X, int(known.sum())


def _compute(
    encoder: "Encoder",
    cache: RowCache,
    *,
    inputs: Sequence[Any],
    keys: Sequence[str],
    rows: Sequence[int],
    X: np.ndarray,
    advance: Callable[[int], object],
) -> None:
    """Compute the vectors of `rows` into `X` and put them into the cache; identical inputs are computed once."""
    rows_by_key: dict[str, list[int]] = {}
    for row in rows:
        rows_by_key.setdefault(keys[row], []).append(row)
    first_rows = [same[0] for same in rows_by_key.values()]
    unsaved: list[int] = []

    def save() -> None:
        cache.put([keys[row] for row in unsaved], X[unsaved])
        unsaved.clear()

    saved_at = time.perf_counter()
    for positions, vectors in encoder.stream([inputs[row] for row in first_rows]):
        computed = [first_rows[position] for position in positions]
        X[computed] = vectors
        unsaved += computed
        advance(len(computed))
        if time.perf_counter() - saved_at > MAX_UNSAVED_SECONDS:
            save()
            saved_at = time.perf_counter()
    save()
    for same in rows_by_key.values():
        X[same] = X[same[0]]
        advance(len(same) - 1)
