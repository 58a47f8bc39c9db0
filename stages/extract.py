"""Extract: turn every prepared row into a vector by a frozen pretrained backbone.

    python -m stages.extract data/prepared data/features

Reads `backbone`, `extract` and `runtime` from params.yaml. Writes train/, validation/ and test/ as Parquet shards of
id, label and feature.

Vectors go into the row cache as they are computed. So only rows that are new to a backbone are computed, and a run that
was killed resumes where it stopped.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tqdm import tqdm

from stages import backbones
from stages.backbones import Backbone
from stages.common import atomic, cli, params, run_stats, targets
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams
from stages.extraction import encode, ray_cluster
from stages.extraction.row_cache import RowCache
from stages.tables import features, prepared, shards
from stages.tables.features import Matrix

if TYPE_CHECKING:
    from stages.backbones.encoder import Encoder


CONTENT = targets.Content(
    "extract",
    {
        **{f"{split}/part-*.parquet": features.is_shard for split in prepared.SPLITS},
        f"train/{features.BACKBONE_FILES}": None,
    },
)


def extract(
    *, prepared_folder: Path, target: Path, spec: BackboneParams, settings: ExtractParams, runtime: RuntimeParams
) -> None:
    """Write the features of the prepared table in `prepared_folder` to the folder `target`.

    Raises:
        HeadstartError: the prepared table is missing or damaged, the backbone cannot be loaded, the row cache cannot
            be written, or `target` holds anything but earlier features.
    """
    targets.check_folder(target, CONTENT, [prepared_folder])
    info = prepared.read_info(prepared_folder)
    total = sum(shards.count(prepared_folder / split) for split in prepared.SPLITS)
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
    cached = 0
    with (
        tqdm(total=total, desc="extract", unit=" rows", disable=None) as progress,
        atomic.directory(target, CONTENT) as out,
        _row_cache(prepared_folder, backbone, metadata, runtime) as cache,
    ):
        for split in prepared.SPLITS:
            with features.Writer(out / split, metadata) as writer:
                for window in prepared.windows(prepared_folder, split, info.modality):
                    X, known = _encode(backbone, cache, window.inputs, progress.update)
                    cached += known
                    writer.write_rows(window.ids, window.labels, X)
        backbone.save(out / "train" / features.BACKBONE_FOLDER)
    print(
        f"extract: {total:,} rows{f' ({cached:,} from the cache)' if cached else ''} -> {backbone.dim:,} dimensions by"
        f" {spec.name} in {run_stats.spent()} ({total / run_stats.seconds():,.0f} rows/s)"
    )


@contextmanager
def _row_cache(
    prepared_folder: Path, backbone: Backbone, metadata: features.Metadata, runtime: RuntimeParams
) -> Iterator[RowCache | None]:
    """Open the row cache, filled by the workers if the engine is Ray; None where no cache is used."""
    spec, settings = metadata.backbone, metadata.extract
    if spec.family not in backbones.TRAINABLE:  # these are as fast as the cache, and as a cluster
        yield None
        return
    encoder = cast("Encoder", backbone)
    if runtime.engine == "ray":
        worker_backbone = ray_cluster.WorkerBackbone(spec, settings, metadata.modality, encoder.fingerprint)
        with (
            ray_cluster.cluster(runtime),
            encode.open_cache(encoder, settings, runtime, ray_cluster.device()) as cache,
        ):
            ray_cluster.fill(prepared_folder, worker_backbone, cache)
            yield cache
    elif runtime.row_cache:
        with encode.open_cache(encoder, settings, runtime, encoder.device.type) as cache:
            yield cache
    else:
        yield None


def _encode(
    backbone: Backbone, cache: RowCache | None, inputs: Sequence[Any], advance: Callable[[int], object]
) -> tuple[Matrix, int]:
    """Get the vectors of `inputs`, (inputs, dim), and how many of them the cache had; report progress to `advance`."""
    if cache:
        return encode.encode_window(cast("Encoder", backbone), cache, inputs, advance)
    X = backbone.encode(inputs)
    advance(len(inputs))
    return X, 0


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
