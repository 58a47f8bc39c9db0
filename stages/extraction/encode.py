"""Vectors of a window of rows: from the row cache where it has them, computed and stored where not."""

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

SECONDS_AT_RISK = 1.0  # of computing, which a kill can cost


def open_cache(encoder: "Encoder", settings: ExtractParams, runtime: RuntimeParams, device: str) -> RowCache:
    """The cache of vectors that the encoder makes on a type of device."""
    limit = round(runtime.row_cache_gb * 10**9)
    return RowCache(encoder.cache_name(device), dim=encoder.dim, dtype=settings.dtype, limit_bytes=limit)


def encode(
    encoder: "Encoder", cache: RowCache, inputs: Sequence[Any], done: Callable[[int], object]
) -> tuple[np.ndarray, int]:
    """Vectors of a window, computed where the cache lacks them: (inputs, dim) as stored, and how many it had."""
    keys = [prepared.content_id(each) for each in inputs]
    known, X = cache.get(keys)
    with ExitStack() as stack:
        if not known.all():
            stack.enter_context(cache.turn())
            known, X = cache.get(keys)  # another process may have computed them meanwhile
        done(int(known.sum()))
        if known.all():
            return X, len(X)
        rows: dict[str, list[int]] = {}  # of each key that is new; identical inputs are computed once
        for row in np.flatnonzero(~known):
            rows.setdefault(keys[row], []).append(int(row))
        first = [same[0] for same in rows.values()]
        unsaved: list[int] = []
        since = time.perf_counter()

        def save() -> None:
            nonlocal since
            cache.put([keys[row] for row in unsaved], X[unsaved])
            unsaved.clear()
            since = time.perf_counter()

        for positions, vectors in encoder.stream([inputs[row] for row in first]):
            computed = [first[position] for position in positions]
            X[computed] = vectors
            unsaved += computed
            done(len(computed))
            if time.perf_counter() - since > SECONDS_AT_RISK:
                save()
        save()
    for same in rows.values():
        if len(same) > 1:
            X[same] = X[same[0]]
            done(len(same) - 1)
    return X, int(known.sum())
