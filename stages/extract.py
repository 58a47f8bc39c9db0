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

WINDOW = 4_096  # rows in memory at a time; an encoder sorts them by length


def extract(
    *, prepared: Path, target: Path, spec: BackboneParams, settings: ExtractParams, runtime: RuntimeParams
) -> None:
    """Write the feature table of `prepared` to `target`.

    Raises:
        HeadstartError: the prepared table is missing or damaged, or the backbone cannot be loaded.
    """
    start = time.perf_counter()
    source = samples.metadata(prepared)
    rows = {split: shards.count(prepared / split) for split in samples.SPLITS}
    backbone = backbones.load(spec, settings, runtime, training_texts=lambda: _texts(prepared / "train"))
    metadata = features.Metadata(
        backbone=spec,
        extract=settings,
        fingerprint=backbone.fingerprint,
        dim=backbone.dim,
        sparse=backbone.is_sparse,
        input=source["input"],
        modality=source["modality"],
    )
    progress = tqdm(total=sum(rows.values()), desc="extract", unit=" rows", disable=None)
    with outputs.directory(target) as out, progress:
        for split in samples.SPLITS:
            with features.Writer(out / split, metadata) as writer:
                for batch in shards.read(prepared / split, ["id", "text", "label"], rows=WINDOW):
                    ids, texts, labels = (column.to_pylist() for column in batch.columns)
                    writer.write_rows(ids, labels, backbone.encode(texts))
                    progress.update(len(ids))
        backbone.save(out / "train" / features.BACKBONE_FOLDER)
    seconds = time.perf_counter() - start
    print(
        f"extract: {sum(rows.values()):,} rows -> {backbone.dim:,} dimensions by {spec.name}"
        f" in {seconds:.1f} s ({sum(rows.values()) / seconds:,.0f} rows/s)"
    )


def _texts(folder: Path) -> Iterator[str]:
    for batch in shards.read(folder, ["text"]):
        yield from batch.column("text").to_pylist()


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
