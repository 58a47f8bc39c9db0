"""Predict: classify new rows with a trained head or a fine-tuned model. Needs no params.yaml.

    python -m stages.predict data/head NEW.csv OUT.csv
    python -m stages.predict data/finetuned PHOTOS OUT.parquet

NEW is a table in any format that prepare reads, with the input columns that the model was trained on, or a folder of
images; labels are not needed. OUT ends in .csv, .jsonl, .parquet, or with the extra `spreadsheets` in .xlsx. It has
one row for every row of NEW, in order: source, the columns of NEW (of a folder, image: its path), predicted,
confidence, one p_LABEL per label, accepted, unfamiliar, prediction_set, and rejected: why the row could not be
classified, or null. A column of NEW with one of these names is called input_NAME. Of a model of numbers the columns
are predicted, unfamiliar, low, high and rejected.

A row is accepted if its confidence is one from which held-out rows are right as often as predict.target_accuracy asks.
unfamiliar is the share of training rows, in percent, that are nearer to the others than the row is to them.
prediction_set holds the true label, and low to high the true number, as often as predict.coverage asks. Both settings
are those of params.yaml, where there is one, else 0.95 and 0.9. See stages/heads/README.md.

With --explain, OUT has the column explanation: JSON with the words or regions that made the predicted label more or
less probable, and by how much; see stages/evaluation/README.md. Every row takes up to 50 passes instead of one.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from stages import sources
from stages.common import atomic, cli, hidden_modules, predict_params, run_stats, targets, threads
from stages.common.errors import HeadstartError, counted, listed
from stages.common.params import RuntimeParams
from stages.common.predict_params import PredictParams
from stages.evaluation import prediction_columns, prediction_files
from stages.heads import certainty_file, model_card
from stages.heads.certainty import Verdicts
from stages.heads.model_card import ModelCard
from stages.prediction import classified_rows
from stages.prediction.classified_rows import ClassifiedRows
from stages.prediction.own_words import in_own_words
from stages.sources import Row, kept_columns
from stages.tables import prepared
from stages.tables.label_info import check_task
from stages.tasks import Task

IMAGE_PATH = "image"  # the column of the paths in a folder of images


def predict(
    *,
    folder: Path,
    new: Path,
    target: Path,
    runtime: RuntimeParams,
    settings: PredictParams | None = None,
    explain: bool = False,
) -> None:
    """Classify the rows of the table or image folder `new` with the model in `folder`, and write them to `target`.

    Args:
        settings: from where a prediction counts as sure; None: the defaults.
        explain: whether to add the column `explanation`.

    Raises:
        HeadstartError: `folder` holds no model, `new` is not a readable table with the model's input column, the model
            needs another version of its backbone, or `target` is anything but earlier predictions.
    """
    card = model_card.read_trained(folder)
    if explain:
        check_task(card, "explaining", "single", "ordinal", instead="leave --explain out")
    prediction_files.check_format(target)
    targets.check_file(target, prediction_files.is_own, verb="predict", inputs=[folder, new])
    columns = sources.Columns(card.input, keep_all=True)
    reading = sources.Reading(card.encoding, card.sheet)
    settings, sure = settings or PredictParams(), certainty_file.read(folder)
    load = functools.cache(lambda: classified_rows.load(folder, card, runtime))
    classify = functools.partial(classified_rows.classify, card=card, load=load, explain=explain, known=sure.known)
    verdicts = functools.partial(sure.verdicts, settings=settings)
    own = {"source", *_columns(classify([]), card, verdicts)}
    kept = _Kept.from_source(new, columns, card, reading, own)
    notes = sources.Notes()
    rows = notes.without_skipped(sources.rows(new, columns, card.modality, reading))
    ready = threads.ordered(lambda row: classified_rows.ready(row, card), rows, workers=threads.cores())
    counts: Counter[bool] = Counter()
    write: prediction_files.Write | None = None
    with ExitStack() as stack:
        out = stack.enter_context(atomic.file(target))
        progress = stack.enter_context(tqdm(desc="predict", unit=" rows", disable=None))
        while window := list(islice(ready, prepared.WINDOW_ROWS[card.modality])):
            table = _table(window, kept, _columns(classify(window), card, verdicts))
            write = write or stack.enter_context(prediction_files.writer(out, target.suffix, table.schema))
            write(table)
            counts.update(bool(row.problem) for row in window)
            for row in window:
                notes.add(row)
            progress.update(len(window))
        if write is None:
            raise HeadstartError(f"{new} has no rows to classify")
        stack.pop_all().close()
    print(
        f"predict: {counted(counts[False], 'row')} predicted, {counts[True]:,} rejected -> {target}"
        f" in {run_stats.spent()}"
    )
    certain = [sure.held_out.in_words(settings)] if sure.held_out else []
    for sentence in (*certain, *notes.sentences(), *kept.sentences()):
        print(f"predict: {sentence}")


@dataclass(frozen=True)
class _Kept:
    """The columns of a table that are written beside the predictions."""

    types: Mapping[str, pa.DataType]  # by the name in the table
    names: Mapping[str, str]  # in the table to in the predictions
    images: str | None = None  # the column with the images, of which the paths are written
    without: Sequence[str] = ()  # columns of bytes, which are left out

    @classmethod
    def from_source(
        cls, new: Path, columns: sources.Columns, card: ModelCard, reading: sources.Reading, own: set[str]
    ) -> "_Kept":
        """Read the table once to find its columns; a folder of images has one, with the paths.

        Args:
            own: names of the columns that predict writes.
        """
        if card.modality == "image" and sources.is_image_folder(new):
            return cls({IMAGE_PATH: pa.string()}, {IMAGE_PATH: IMAGE_PATH}, IMAGE_PATH)
        types = dict(kept_columns.types(new, columns, reading))
        image_column = columns.inputs()[0] if card.modality == "image" else None
        if image_column in types:
            types[image_column] = pa.string()
        without = [name for name, kind in types.items() if pa.types.is_binary(kind)]
        types = {name: kind for name, kind in types.items() if name not in without}
        names: dict[str, str] = {}
        for name in types:
            free = _writable(name)
            while free in own or (free != name and free in types):
                free = f"input_{free}"
            names[name] = free
        return cls(types, names, image_column, without)

    def arrays(self, rows: Sequence[Row]) -> dict[str, pa.Array]:
        """Make the columns of these rows, by their names in the predictions."""
        return {
            self.names[name]: kept_columns.array(
                [row.name if name == self.images else (row.record or {}).get(name) for row in rows], kind
            )
            for name, kind in self.types.items()
        }

    def sentences(self) -> Iterator[str]:
        """Say which columns have another name, and which are left out."""
        renamed = {name: new for name, new in self.names.items() if new != _writable(name)}
        if renamed:
            pairs = listed((f"{name} is {new}" for name, new in renamed.items()), 5)
            yield f"columns of the input that are named like those of predict have another name: {pairs}"
        if self.without:
            yield f"columns of the input that hold bytes are left out: {listed(self.without, 5)}"


def _writable(name: str) -> str:
    """Write half a surrogate pair, which no file can hold, as its escape."""
    return name.encode("utf-8", "backslashreplace").decode()


def _table(rows: Sequence[Row], kept: _Kept, columns: Mapping[str, pa.Array]) -> pa.Table:
    """Return one output row for each of `rows`; `columns`: what `_columns` returns for them."""
    return pa.table({"source": pa.array([row.origin for row in rows], pa.string()), **kept.arrays(rows), **columns})


def _columns(
    classified: ClassifiedRows, card: ModelCard, verdicts: Callable[[Task, np.ndarray, np.ndarray | None], Verdicts]
) -> dict[str, pa.Array]:
    """Make the columns of what the model says of rows; `verdicts`: tells how sure it is, as `Certainty.verdicts`."""
    task, explained = card.as_task(), classified.explained
    sure = verdicts(task, classified.outputs, classified.unfamiliar)
    missing = prediction_columns.missing(classified.outputs)
    return {
        **prediction_columns.columns(classified.outputs, task),
        **prediction_columns.certainty_columns(sure, card.labels, missing),
        **({} if explained is None else {"explanation": pa.array(explained, pa.large_string())}),
        "rejected": pa.array(classified.problems, pa.string()),
    }


def main() -> None:
    hidden_modules.use_arrow_without_pandas()
    args = cli.arguments(
        __doc__,
        model="folder that train_head or finetune wrote",
        new="table or folder of images to classify",
        out="file to write: .csv, .jsonl, .parquet or .xlsx",
        options={
            "--explain": {"action": "store_true", "help": "add the words or regions that decided; 50 times the work"}
        },
    )
    try:
        predict(
            folder=args.model,
            new=args.new,
            target=args.out,
            runtime=RuntimeParams(),
            settings=predict_params.load(args.params),
            explain=args.explain,
        )
    except HeadstartError as error:
        raise HeadstartError(in_own_words(str(error))) from None


if __name__ == "__main__":
    cli.run(main)
