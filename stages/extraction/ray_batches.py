"""The rows of a prepared table that the row cache lacks, in batches for the workers of a Ray cluster."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.common.params import ExtractParams, Modality
from stages.extraction import rows
from stages.extraction.row_cache import RowCache
from stages.tables import prepared

# Rows that a worker gets at a time. Of texts as many as in a window of the local engine: of fewer, few have the same
# length, so that the network runs on small batches.
BATCH_ROWS: dict[Modality, int] = {"text": prepared.WINDOW_ROWS["text"], "image": 128}


@dataclass(eq=False)
class Batch:
    """Rows that a worker gets at a time."""

    ids: tuple[str, ...]
    keys: tuple[str, ...]  # of the row cache
    inputs: tuple[Any, ...]
    was_lost: bool = False  # with a worker that died
    deaths: int = 0  # of workers that had no other batch


def missing(
    prepared_folder: Path,
    cache: RowCache,
    modality: Modality,
    settings: ExtractParams,
    *,
    unlabelled: Collection[str],
    advance: Callable[[int], object],
) -> Iterator[Batch]:
    """Yield the rows that the cache lacks, each content once; `advance` is called with the number of all others."""
    size = BATCH_ROWS[modality]
    waiting: list[tuple[str, str, Any]] = []  # id, key, input
    seen: set[str] = set()
    for table in prepared.tables(prepared_folder):
        for window in rows.windows(prepared_folder, table, modality, settings, unlabelled):
            keys = [prepared.content_id(content) for content in window.inputs]
            known, _ = cache.get(keys)
            before = len(waiting)
            for row in np.flatnonzero(~known).tolist():
                if keys[row] not in seen:
                    seen.add(keys[row])
                    waiting.append((window.ids[row], keys[row], window.inputs[row]))
            advance(len(keys) - (len(waiting) - before))
            while len(waiting) >= size:
                yield _batch(waiting[:size])
                del waiting[:size]
    if waiting:
        yield _batch(waiting)


def _batch(waiting: Sequence[tuple[str, str, Any]]) -> Batch:
    ids, keys, inputs = zip(*waiting, strict=True)
    return Batch(ids, keys, inputs)


def where(prepared_folder: Path, batch: Batch) -> str:
    """Say between which lines of the raw data the rows of a batch are."""
    ends = batch.ids[0], batch.ids[-1]
    sources = {
        row_id: source
        for table in prepared.tables(prepared_folder)
        for row_id, _, source in prepared.inputs_and_sources(prepared_folder, table, None, ends)
    }
    return f"one of {len(batch.ids)} rows, {sources[ends[0]]} to {sources[ends[1]]},"
