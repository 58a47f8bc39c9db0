"""Extract: prepared rows in, one vector per row out, by a frozen pretrained backbone.

    python -m stages.extract data/prepared data/features

Reads `backbone`, `extract` and `runtime` from params.yaml. Writes train/, validation/ and test/ as Parquet shards of
id, label and feature.

Vectors go into the row cache as they are made. So only rows that are new to a backbone are computed, and a run that was
killed goes on where it stopped.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tqdm import tqdm

from stages import backbones
from stages.common import atomic, cli, params, run_stats
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams
from stages.extraction import encode, ray_cluster
from stages.extraction.row_cache import RowCache
from stages.tables import features, prepared, shards
from stages.tables.features import Matrix

if TYPE_CHECKING:
    from stages.backbones.encoder import Encoder


def extract(
    *, prepared_folder: Path, target: Path, spec: BackboneParams, settings: ExtractParams, runtime: RuntimeParams
) -> None:
    """Write the feature table of `prepared_folder` to `target`.

    Raises:
        HeadstartError: the prepared table is missing or damaged, the backbone cannot be loaded, or the row cache cannot
            be written.
    """
    info = prepared.read_info(prepared_folder)
    rows = {split: shards.count(prepared_folder / split) for split in prepared.SPLITS}
    backbone = backbones.load(
        spec, settings, runtime, modality=info.modality, training_texts=lambda: _training_texts(prepared_folder)
    )
    metadata = features.Metadata(
        backbone=spec,
        extract=settings,
        fingerprint=backbone.fingerprint,
        dim=backbone.dim,
        sparse=backbone.is_sparse,
        **info.model_dump(),
    )
    total = sum(rows.values())
    cached = 0
    cache: RowCache | None = None
    with ExitStack() as stack:
        progress = stack.enter_context(tqdm(total=total, desc="extract", unit=" rows", disable=None))
        out = stack.enter_context(atomic.directory(target))
        # Families that cannot be trained on are as fast as the cache, and as a cluster.
        if spec.family in backbones.TRAINABLE and runtime.engine == "ray":
            encoder = cast("Encoder", backbone)
            stack.enter_context(ray_cluster.cluster(runtime))
            cache = stack.enter_context(encode.open_cache(encoder, settings, runtime, ray_cluster.device()))
            wanted = ray_cluster.Wanted(spec, settings, info.modality, encoder.fingerprint)
            ray_cluster.fill(prepared_folder, wanted, cache)
        elif spec.family in backbones.TRAINABLE and runtime.row_cache:
            encoder = cast("Encoder", backbone)
            cache = stack.enter_context(encode.open_cache(encoder, settings, runtime, encoder.device.type))
        for split in prepared.SPLITS:
            with features.Writer(out / split, metadata) as writer:
                for window in prepared.windows(prepared_folder, split, info.modality):
                    X: Matrix
                    if cache:
                        X, known = encode.encode(encoder, cache, window.inputs, progress.update)
                        cached += known
                    else:
                        X = backbone.encode(window.inputs)
                        progress.update(len(window.inputs))
                    writer.write_rows(window.ids, window.labels, X)
        backbone.save(out / "train" / features.BACKBONE_FOLDER)
    print(
        f"extract: {total:,} rows{f' ({cached:,} from the cache)' if cached else ''} -> {backbone.dim:,} dimensions by"
        f" {spec.name} in {run_stats.spent()} ({total / run_stats.seconds():,.0f} rows/s)"
    )


def _training_texts(prepared_folder: Path) -> Iterator[str]:
    for window in prepared.windows(prepared_folder, "train", "text"):
        yield from window.inputs


def main() -> None:
    args = cli.arguments(
        __doc__,
        prepared="folder that prepare wrote",
        features="folder to write",
    )
    settings = params.load(args.params)
    extract(
        prepared_folder=args.prepared,
        target=args.features,
        spec=settings.backbone,
        settings=settings.extract,
        runtime=settings.runtime,
    )


if __name__ == "__main__":
    cli.run(main)
