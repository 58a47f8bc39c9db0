"""Extract: prepared rows in, one vector per row out, by a frozen pretrained backbone.

    python -m stages.extract data/prepared data/features
    python -m stages.extract --cache-info
    python -m stages.extract --cache-clear

Reads `backbone`, `extract` and `runtime` from params.yaml. Writes train/, validation/ and test/ as Parquet shards of
id, label and feature.

Vectors go into the row cache as they are made. So only rows that are new to a backbone are computed, and a run that was
killed goes on where it stopped.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from tqdm import tqdm

from stages import backbones, cli, cost, distributed, features, outputs, params, rowcache, samples, shards
from stages.features import Matrix
from stages.params import BackboneParams, ExtractParams, RuntimeParams
from stages.rowcache import RowCache

if TYPE_CHECKING:
    from stages.backbones.encoder import Encoder

SECONDS_AT_RISK = 1.0  # of computing, which a kill can cost


def extract(
    *, prepared: Path, target: Path, spec: BackboneParams, settings: ExtractParams, runtime: RuntimeParams
) -> None:
    """Write the feature table of `prepared` to `target`.

    Raises:
        HeadstartError: the prepared table is missing or damaged, the backbone cannot be loaded, or the row cache cannot
            be written.
    """
    source = samples.source(prepared)
    rows = {split: shards.count(prepared / split) for split in samples.SPLITS}
    backbone = backbones.load(
        spec, settings, runtime, modality=source.modality, training_texts=lambda: _training_texts(prepared)
    )
    metadata = features.Metadata(
        backbone=spec,
        extract=settings,
        fingerprint=backbone.fingerprint,
        dim=backbone.dim,
        sparse=backbone.is_sparse,
        **source.model_dump(),
    )
    total = sum(rows.values())
    cached = 0
    cache: RowCache | None = None
    with ExitStack() as stack:
        progress = stack.enter_context(tqdm(total=total, desc="extract", unit=" rows", disable=None))
        out = stack.enter_context(outputs.directory(target))
        # Families that cannot be trained on are as fast as the cache, and as a cluster.
        if spec.family in backbones.TRAINABLE and runtime.engine == "ray":
            encoder = cast("Encoder", backbone)
            stack.enter_context(distributed.cluster(runtime))
            cache = stack.enter_context(_cache(encoder, settings, runtime, distributed.device()))
            wanted = distributed.Wanted(spec, settings, source.modality, encoder.fingerprint)
            distributed.fill(prepared, wanted, cache)
        elif spec.family in backbones.TRAINABLE and runtime.row_cache:
            encoder = cast("Encoder", backbone)
            cache = stack.enter_context(_cache(encoder, settings, runtime, encoder.device.type))
        for split in samples.SPLITS:
            with features.Writer(out / split, metadata) as writer:
                for window in samples.windows(prepared, split, source.modality):
                    X: Matrix
                    if cache:
                        X, known = _with_cache(encoder, cache, window.inputs, progress.update)
                        cached += known
                    else:
                        X = backbone.encode(window.inputs)
                        progress.update(len(window.inputs))
                    writer.write_rows(window.ids, window.labels, X)
        backbone.save(out / "train" / features.BACKBONE_FOLDER)
    print(
        f"extract: {total:,} rows{f' ({cached:,} from the cache)' if cached else ''} -> {backbone.dim:,} dimensions by"
        f" {spec.name} in {cost.spent()} ({total / cost.seconds():,.0f} rows/s)"
    )


def _cache(encoder: "Encoder", settings: ExtractParams, runtime: RuntimeParams, device: str) -> RowCache:
    """The cache of vectors that the encoder makes on a type of device."""
    limit = round(runtime.row_cache_gb * 10**9)
    return RowCache(encoder.cache_name(device), dim=encoder.dim, dtype=settings.dtype, limit_bytes=limit)


def _with_cache(
    encoder: "Encoder", cache: RowCache, inputs: Sequence[Any], done: Callable[[int], object]
) -> tuple[np.ndarray, int]:
    """Vectors of a window, computed where the cache lacks them: (inputs, dim) as stored, and how many it had."""
    keys = [samples.key(each) for each in inputs]
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


def _training_texts(prepared: Path) -> Iterator[str]:
    for window in samples.windows(prepared, "train", "text"):
        yield from window.inputs


def _print_cache() -> None:
    files = rowcache.info()
    for fingerprint, rows, size, used in files:
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(used))
        print(f"{fingerprint[:16]}  {rows:>11,} rows  {size / 1e6:>9,.1f} MB  last used {day}")
    print(f"{rowcache.folder()}: {len(files)} backbones, {sum(size for _, _, size, _ in files) / 1e6:,.1f} MB")


def _clear_cache() -> None:
    files, size = rowcache.clear()
    print(f"{rowcache.folder()}: {files} backbones deleted, {size / 1e6:,.1f} MB")


def main() -> None:
    args = cli.arguments(
        __doc__,
        instead={
            "--cache-info": ("list what the row cache holds, and end", _print_cache),
            "--cache-clear": ("delete what the row cache holds, and end", _clear_cache),
        },
        prepared="folder that prepare wrote",
        features="folder to write",
    )
    settings = params.load(args.params)
    extract(
        prepared=args.prepared,
        target=args.features,
        spec=settings.backbone,
        settings=settings.extract,
        runtime=settings.runtime,
    )


if __name__ == "__main__":
    cli.run(main)
