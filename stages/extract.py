"""Extract: turn every prepared row into a vector by a frozen pretrained backbone.

    python -m stages.extract data/prepared data/features

Reads `backbone`, `extract`, `runtime`, `train_head.unlabelled` and `finetune.unlabelled` from params.yaml. Writes
train/, validation/, test/ and unlabelled/ as Parquet shards of id, label and feature, and the last again as
train_unlabelled/ if training is to learn from these rows, else an empty table. Prints how texts become vectors, and how
many are longer than the model reads.

Vectors go into the row cache as they are computed. So only rows that are new to a backbone are computed, and a run that
was killed resumes where it stopped.
"""

import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from tqdm import tqdm

from stages.backbones import Backbone
from stages.common import atomic, backbone_shorthand, cli, hidden_modules, params, run_stats, targets
from stages.common.errors import counted
from stages.common.params import Backbones, ExtractParams, ExtractSection, RuntimeParams
from stages.extraction import encode, ray_cluster, rows
from stages.extraction.row_cache import RowCache
from stages.tables import feature_writer, features, prepared, shards

if TYPE_CHECKING:
    from stages.backbones.encoder import Encoder


CONTENT = targets.Content(
    "extract",
    {
        **{f"{split}/part-*.parquet": features.is_shard for split in features.TABLES},
        **{f"train/{files}": None for files in features.BACKBONE_FILES},
    },
)


def extract(
    *,
    prepared_folder: Path,
    target: Path,
    spec: Backbones,
    settings: ExtractSection,
    runtime: RuntimeParams,
    learn_from_unlabelled: bool = False,
) -> None:
    """Write the features of the prepared table in `prepared_folder` to the folder `target`.

    With `learn_from_unlabelled`, train_head and finetune get the unlabelled rows too, as a table of their own.

    Raises:
        HeadstartError: the prepared table is missing or damaged, the backbone cannot be loaded, the row cache cannot
            be written, or `target` holds anything but earlier features.
    """
    targets.check_folder(target, CONTENT, [prepared_folder])
    info = prepared.read_info(prepared_folder)
    unlabelled = rows.unlabelled_ids(prepared_folder, settings.unlabelled)
    tables = prepared.tables(prepared_folder)
    total = rows.count(prepared_folder, unlabelled)
    cached, long_texts = 0, []
    with ExitStack() as stack:
        cluster = None
        if runtime.engine == "ray" and any(map(rows.is_cached, backbone_shorthand.members(spec))):
            cluster = stack.enter_context(ray_cluster.cluster(runtime))
        if cluster and not isinstance(spec, tuple):
            cluster.describe(spec, settings, info.modality)
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
        members = list(rows.members(backbone, spec))
        for member, section in members:
            if member.recipe_sentence:
                print(f"extract: {section.name} with {member.recipe_sentence}")
        progress = stack.enter_context(tqdm(total=total * len(members), desc="extract", unit=" vectors", disable=None))
        out = stack.enter_context(atomic.directory(target, CONTENT))
        if cluster:
            filled = _filled(
                cluster, prepared_folder, backbone, metadata=metadata, runtime=runtime, unlabelled=unlabelled
            )
            caches = stack.enter_context(filled)
        else:
            caches = stack.enter_context(rows.open_caches(backbone, spec, runtime))
        for split in tables:
            has_groups = prepared.has_groups(prepared_folder, split)
            with feature_writer.Writer(out / split, metadata, has_groups=has_groups) as writer:
                for window in rows.windows(prepared_folder, split, info.modality, settings, unlabelled):
                    X, counts, known = rows.encode_window(backbone, caches, window.inputs, progress.update)
                    cached += known
                    writer.write_rows(window.ids, window.labels, X, counts, window.groups)
                    tokens = counts[:, 0]
                    long_texts += tokens[tokens > (backbone.max_length or 0)].tolist()
        if learn_from_unlabelled:
            shutil.copytree(out / prepared.UNLABELLED, out / prepared.LEARNING)
        else:
            with feature_writer.Writer(out / prepared.LEARNING, metadata):
                pass
        backbone.save(out / "train" / features.BACKBONE_FOLDER)
    unlabelled_rows = shards.count(prepared_folder / prepared.UNLABELLED)
    if len(unlabelled) < unlabelled_rows:
        number = f"{len(unlabelled):,} of {counted(unlabelled_rows, 'unlabelled row')}"
        print(f"extract: {number} {'has' if len(unlabelled) == 1 else 'have'} vectors, as extract.unlabelled says")
    if long_texts and backbone.max_length:
        print(f"extract: {_long_texts(long_texts, total, backbone.max_length, settings)}")
    print(
        f"extract: {counted(total, 'row')}{_from_cache(cached, spec)} -> {backbone.dim:,} dimensions by"
        f" {backbone_shorthand.titled(spec)} in {run_stats.spent()} ({total / run_stats.seconds():,.0f} rows/s)"
    )


@contextmanager
def _filled(
    cluster: ray_cluster.Cluster,
    prepared_folder: Path,
    backbone: Backbone,
    *,
    metadata: features.Metadata,
    runtime: RuntimeParams,
    unlabelled: Collection[str],
) -> Iterator[rows.Caches]:
    """Open the row caches of the backbone's members, filled by the workers of a Ray cluster."""
    filled: list[RowCache | None] = []
    with ExitStack() as stack:
        for member, section in rows.members(backbone, metadata.backbone):
            cache = None
            if rows.is_cached(section):
                encoder = cast("Encoder", member)
                cache = stack.enter_context(encode.open_cache(encoder, member.settings, runtime, cluster.device))
                cluster.fill(
                    prepared_folder, section, encoder, cache, modality=metadata.modality, unlabelled=unlabelled
                )
            filled.append(cache)
        yield tuple(filled)


def _from_cache(vectors: int, spec: Backbones) -> str:
    """Say how many vectors came from the row caches; they are as many as rows where a row has only one."""
    unit = " vectors" if sum(map(rows.is_cached, backbone_shorthand.members(spec))) > 1 else ""
    return f" ({vectors:,}{unit} from the cache)" if vectors else ""


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
    hidden_modules.use_arrow_without_pandas()
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
        learn_from_unlabelled=settings.learn_from_unlabelled,
    )


if __name__ == "__main__":
    cli.run(main)
