"""Extract: turn every prepared row into a vector by a frozen pretrained backbone.

    python -m stages.extract data/prepared data/features

Reads `backbone`, `extract` and `runtime` from params.yaml. Writes train/, validation/ and test/ as Parquet shards of
id, label and feature. Prints how texts become vectors, and how many are longer than the model reads.

Vectors go into the row cache as they are computed. So only rows that are new to a backbone are computed, and a run that
was killed resumes where it stopped.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from tqdm import tqdm

from stages.backbones import Backbone
from stages.common import atomic, cli, params, run_stats, targets
from stages.common.errors import counted
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams
from stages.extraction import encode, ray_cluster, rows
from stages.extraction.row_cache import RowCache
from stages.tables import features, prepared, shards

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
    backbone = rows.load_backbone(prepared_folder, spec, settings, runtime, info.modality)
    metadata = features.Metadata(
        backbone=spec,
        extract=backbone.settings,
        fingerprint=backbone.fingerprint,
        dim=backbone.dim,
        sparse=backbone.is_sparse,
        max_length=backbone.max_length,
        **info.model_dump(),
    )
    if backbone.recipe_sentence:
        print(f"extract: {spec.name} with {backbone.recipe_sentence}")
    cached, long_texts = 0, []
    with (
        tqdm(total=total, desc="extract", unit=" rows", disable=None) as progress,
        atomic.directory(target, CONTENT) as out,
        _row_cache(prepared_folder, backbone, metadata, runtime) as cache,
    ):
        for split in prepared.SPLITS:
            has_groups = prepared.has_groups(prepared_folder, split)
            with features.Writer(out / split, metadata, has_groups=has_groups) as writer:
                for window in prepared.windows(prepared_folder, split, info.modality, combine=settings.combine):
                    X, counts, known = rows.encode_window(backbone, cache, window.inputs, progress.update)
                    cached += known
                    writer.write_rows(window.ids, window.labels, X, counts, window.groups)
                    tokens = counts[:, 0]
                    long_texts += tokens[tokens > (backbone.max_length or 0)].tolist()
        backbone.save(out / "train" / features.BACKBONE_FOLDER)
    if long_texts and backbone.max_length:
        print(f"extract: {_long_texts(long_texts, total, backbone.max_length, settings)}")
    print(
        f"extract: {counted(total, 'row')}{f' ({cached:,} from the cache)' if cached else ''} -> {backbone.dim:,}"
        f" dimensions by {spec.name} in {run_stats.spent()} ({total / run_stats.seconds():,.0f} rows/s)"
    )


@contextmanager
def _row_cache(
    prepared_folder: Path, backbone: Backbone, metadata: features.Metadata, runtime: RuntimeParams
) -> Iterator[RowCache | None]:
    """Open the row cache, filled by the workers if the engine is Ray; None where no cache is used."""
    spec, settings = metadata.backbone, metadata.extract
    if runtime.engine == "ray" and rows.is_cached(spec):
        encoder = cast("Encoder", backbone)
        worker_backbone = ray_cluster.WorkerBackbone(spec, settings, metadata.modality, encoder.fingerprint)
        with (
            ray_cluster.cluster(runtime),
            encode.open_cache(encoder, settings, runtime, ray_cluster.device()) as cache,
        ):
            ray_cluster.fill(prepared_folder, worker_backbone, cache)
            yield cache
        return
    with rows.open_cache(backbone, spec, settings, runtime) as cache_or_none:
        yield cache_or_none


def _long_texts(tokens: Sequence[int], total: int, max_length: int, settings: ExtractParams) -> str:
    """Say how many of `total` texts are longer than `max_length`, and what became of them; `tokens`: their lengths."""
    inputs, verb = "pairs" if settings.combine == "pair" else "texts", "is" if len(tokens) == 1 else "are"
    number = f"{len(tokens):,} of {total:,} {inputs} {verb} longer than {max_length:,} tokens"
    lengths = f"(median {round(float(np.median(tokens))):,}, longest {max(tokens):,} tokens)"
    if settings.long == "chunks":
        return f"{number} and read in windows {lengths}"
    advice = "" if settings.combine == "pair" else "; extract.long: chunks reads them whole"
    return f"{number} and cut {lengths}{advice}"


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
