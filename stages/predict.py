"""Predict: classify new rows with a trained head or a fine-tuned model. Needs no params.yaml.

    python -m stages.predict data/head NEW.csv OUT.parquet
    python -m stages.predict data/finetuned NEW.csv OUT.parquet

NEW is a table (.csv .tsv .jsonl .parquet) with the input column that the model was trained on; labels are not needed.
OUT gets one row for each row of NEW, in order: source, the input, predicted, confidence, one p_LABEL for each label,
and rejected: why a row could not be classified, or null.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages import backbones, cli, features, model, outputs, predictions, scoring, sources
from stages.errors import HeadstartError
from stages.model import Model
from stages.params import RuntimeParams

WINDOW = 4_096


def predict(*, folder: Path, new: Path, target: Path, runtime: RuntimeParams) -> None:
    """Classify the rows of the table `new` with the model in `folder`, and write Parquet to `target`.

    Raises:
        HeadstartError: no model, no readable table with the model's input column, or another backbone than it needs.
    """
    start = time.perf_counter()
    trained = model.read(folder)
    if trained is None:
        raise HeadstartError(f"{folder} holds no model, since finetune.method was none; use the head's folder")
    if target.suffix != ".parquet":
        raise HeadstartError(f"{target} must end in .parquet, the format that is written")
    rows = list(sources.rows(new, sources.Columns(trained.input)))
    usable = [number for number, row in enumerate(rows) if not row.problem]
    P = np.full((len(rows), len(trained.labels)), np.nan)
    if usable:
        probabilities = _load(folder, trained, runtime)
        for first in range(0, len(usable), WINDOW):
            window = usable[first : first + WINDOW]
            P[window] = probabilities([rows[number].text for number in window])
    table = pa.table(
        {
            "source": pa.array([row.source for row in rows], pa.string()),
            trained.input: pa.array([None if row.problem else row.text for row in rows], pa.large_string()),
            **predictions.columns(P, trained.labels),
            "rejected": pa.array([row.problem for row in rows], pa.string()),
        }
    )
    with outputs.file(target) as out:
        pq.write_table(table, out, compression="zstd")
    print(
        f"predict: {len(usable):,} rows classified, {len(rows) - len(usable):,} rejected -> {target}"
        f" in {time.perf_counter() - start:.1f} s"
    )


def _load(folder: Path, trained: Model, runtime: RuntimeParams) -> Callable[[Sequence[str]], np.ndarray]:
    """The model as a function from texts to probabilities (texts, labels)."""
    if trained.method != "head":
        from stages.backbones import classifier

        return classifier.load(folder, trained, runtime).probabilities
    saved = folder / features.BACKBONE_FOLDER
    backbone = backbones.load(trained.backbone, trained.extract, runtime, saved=saved if saved.exists() else None)
    if backbone.fingerprint != trained.fingerprint:
        raise HeadstartError(
            f"{folder} was trained on another version of {trained.backbone.name} than is found here; run `dvc repro`"
        )
    return lambda texts: scoring.probabilities(folder, trained, backbone.encode(texts))


def main() -> None:
    args = cli.arguments(
        __doc__,
        with_params=False,
        model="folder that train_head or finetune wrote",
        new="table to classify",
        out="Parquet file to write",
    )
    predict(folder=args.model, new=args.new, target=args.out, runtime=RuntimeParams())


if __name__ == "__main__":
    cli.run(main)
