"""Extract: prepared rows in, one vector per row out, by a frozen pretrained backbone.

    python -m stages.extract data/prepared data/features

Reads `backbone`, `extract` and `runtime` from params.yaml. Writes train/, validation/ and test/ as Parquet shards of
id, label and feature.
"""

import time
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from stages import backbones, cli, features, outputs, params, samples, shards
from stages.params import BackboneParams, ExtractParams, RuntimeParams


def extract(
    *, prepared: Path, target: Path, spec: BackboneParams, settings: ExtractParams, runtime: RuntimeParams
) -> None:
    """Write the feature table of `prepared` to `target`.

    Raises:
        HeadstartError: the prepared table is missing or damaged, or the backbone cannot be loaded.
    """
    start = time.perf_counter()
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
    progress = tqdm(total=sum(rows.values()), desc="extract", unit=" rows", disable=None)
    with outputs.directory(target) as out, progress:
        for split in samples.SPLITS:
            with features.Writer(out / split, metadata) as writer:
                for window in samples.windows(prepared, split, source.modality):
                    writer.write_rows(window.ids, window.labels, backbone.encode(window.inputs))
                    progress.update(len(window.ids))
        backbone.save(out / "train" / features.BACKBONE_FOLDER)
    seconds = time.perf_counter() - start
    print(
        f"extract: {sum(rows.values()):,} rows -> {backbone.dim:,} dimensions by {spec.name}"
        f" in {seconds:.1f} s ({sum(rows.values()) / seconds:,.0f} rows/s)"
    )


def _training_texts(prepared: Path) -> Iterator[str]:
    for window in samples.windows(prepared, "train", "text"):
        yield from window.inputs


def main() -> None:
    args = cli.arguments(__doc__, prepared="folder that prepare wrote", features="folder to write")
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
