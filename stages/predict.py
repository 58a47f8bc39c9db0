"""Predict: classify new rows with a trained head or a fine-tuned model. Needs no params.yaml.

    python -m stages.predict data/head NEW.csv OUT.parquet
    python -m stages.predict data/finetuned PHOTOS OUT.parquet

NEW is a table in any format that prepare reads, with the input columns that the model was trained on, or a folder of
images; labels are not needed. OUT has one row for every row of NEW, in order: source, the
input (for an image its path; `text` for several columns), predicted, confidence, one p_LABEL per label, and rejected:
why the row could not be classified, or null.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from stages import backbones, sources
from stages.common import atomic, cli, run_stats, targets, threads
from stages.common.errors import HeadstartError, counted
from stages.common.params import RuntimeParams
from stages.evaluation import prediction_columns
from stages.heads import loading, model_card
from stages.heads.model_card import ModelCard
from stages.sources import Row
from stages.tables import features, images, prepared

Probabilities: TypeAlias = Callable[[Sequence[Any]], np.ndarray]


def predict(*, folder: Path, new: Path, target: Path, runtime: RuntimeParams) -> None:
    """Classify the rows of the table or image folder `new` with the model in `folder`, and write Parquet to `target`.

    Raises:
        HeadstartError: `folder` holds no model, `new` is not a readable table with the model's input column, the model
            needs another version of its backbone, or `target` is anything but earlier predictions.
    """
    card = model_card.read(folder)
    if card is None:
        raise HeadstartError(f"{folder} holds no model, since finetune.method was none; use the head's folder")
    if target.suffix != ".parquet":
        raise HeadstartError(f"{target} must end in .parquet, the format that is written")
    targets.check_file(target, _is_prediction, verb="predict", inputs=[folder, new])
    notes = sources.Notes()
    reading = sources.Reading(card.encoding, card.sheet)
    rows = notes.without_skipped(sources.rows(new, sources.Columns(card.input), card.modality, reading))
    ready = threads.ordered(lambda row: _ready(row, card), rows, workers=threads.cores())
    counts: Counter[bool] = Counter()
    probabilities: Probabilities | None = None
    writer: pq.ParquetWriter | None = None
    with ExitStack() as stack:
        out = stack.enter_context(atomic.file(target))
        progress = stack.enter_context(tqdm(desc="predict", unit=" rows", disable=None))
        while window := list(islice(ready, prepared.WINDOW_ROWS[card.modality])):
            usable = [number for number, row in enumerate(window) if not row.problem]
            P = np.full((len(window), len(card.labels)), np.nan)
            if usable:
                probabilities = probabilities or _load(folder, card, runtime)
                P[usable] = probabilities([_input(window[number], card) for number in usable])
            table = _table(window, P, card)
            writer = writer or stack.enter_context(pq.ParquetWriter(out, table.schema, compression="zstd"))
            writer.write_table(table)
            counts.update(bool(row.problem) for row in window)
            for row in window:
                notes.add(row)
            progress.update(len(window))
        if writer is None:
            raise HeadstartError(f"{new} has no rows to classify")
    print(
        f"predict: {counted(counts[False], 'row')} classified, {counts[True]:,} rejected -> {target}"
        f" in {run_stats.spent()}"
    )
    for sentence in notes.sentences():
        print(f"predict: {sentence}")


def _ready(row: Row, card: ModelCard) -> Row:
    """Check a row and make it ready as prepare does."""
    return sources.ready(sources.check(row, max_pixels=card.max_pixels or images.MAX_PIXELS), max_side=card.max_side)


def _input(row: Row, card: ModelCard) -> str | bytes | prepared.Pair:
    """Return what the backbone reads of a row."""
    if card.extract.combine == "join":
        return row.content
    assert isinstance(row.content, str) and row.spans
    return prepared.pair(row.content, row.spans)


def _is_prediction(path: Path) -> bool:
    return prediction_columns.has_all(path, first="source", last="rejected")


def _table(rows: Sequence[Row], P: np.ndarray, card: ModelCard) -> pa.Table:
    """Return one output row for each of `rows`; `P`: (rows, labels), NaN where a row cannot be used."""
    inputs = [row.name if isinstance(row.content, bytes) else None if row.problem else row.content for row in rows]
    return pa.table(
        {
            "source": pa.array([row.origin for row in rows], pa.string()),
            card.input if isinstance(card.input, str) else card.modality: pa.array(inputs, pa.large_string()),
            **prediction_columns.columns(P, card.labels),
            "rejected": pa.array([row.problem for row in rows], pa.string()),
        }
    )


def _load(folder: Path, card: ModelCard, runtime: RuntimeParams) -> Probabilities:
    """Load the model as a function from inputs to (inputs, labels) probabilities."""
    if card.method != "head":
        from stages.finetuning import classifier

        return classifier.load(folder, card, runtime).probabilities
    saved = folder / features.BACKBONE_FOLDER
    backbone = backbones.load(
        card.backbone,
        card.extract,
        runtime,
        modality=card.modality,
        saved=saved if saved.exists() else None,
    )
    model_card.check_backbone(card, backbone.fingerprint)
    head = loading.load(folder, card, backbone.dim)
    return lambda inputs: head(backbone.encode(inputs))


def main() -> None:
    args = cli.arguments(
        __doc__,
        with_params=False,
        model="folder that train_head or finetune wrote",
        new="table or folder of images to classify",
        out="Parquet file to write",
    )
    predict(folder=args.model, new=args.new, target=args.out, runtime=RuntimeParams())


if __name__ == "__main__":
    cli.run(main)
