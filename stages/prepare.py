"""Prepare: turn raw rows into one self-contained table per split, and list every row that was left out.

    python -m stages.prepare data/prepared

Reads `prepare` and `finetune.unlabelled` from params.yaml, and joins the labels of the file `prepare.labels`. Writes
train/, validation/, test/ and, of rows without a label, unlabelled/ as Parquet shards with the images packed in, and
the last again as train_unlabelled/ if finetune is to learn from these rows, else an empty table; rejected.parquet
(source and reason of each row left out and of each file skipped) and summary.json (counts per split and class). Where
rows are left out and no table can be written, data/prepared.rejected.parquet lists them.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages import sources
from stages.common import atomic, cli, hidden_modules, json_file, params, run_stats, targets
from stages.common.errors import HeadstartError, counted, printable
from stages.common.params import Modality
from stages.common.prepare_params import PrepareParams
from stages.sources import label_task, outcome, rejections
from stages.sources.counts import Counts
from stages.sources.given_labels import GivenLabels
from stages.sources.image_passes import ImagePasses
from stages.sources.rejections import LeftOut, Record, Rejections
from stages.sources.selection import Selection
from stages.sources.text_passes import TextPasses
from stages.tables import prepared
from stages.tables.behind import behind

CONTENT = targets.Content(
    "prepare",
    {
        **{
            f"{table}/part-*.parquet": prepared.is_shard
            for table in (*prepared.TABLES, *prepared.UNKNOWN, prepared.LEARNING)
        },
        "rejected.parquet": None,
        "summary.json": lambda path: {"kept", "left_out"} <= json_file.mapping(path).keys(),
    },
)


def prepare(prepared_folder: Path, settings: PrepareParams, *, learn_from_unlabelled: bool = False) -> None:
    """Write the prepared table of `settings.data` to `prepared_folder`.

    With `learn_from_unlabelled`, finetune gets the unlabelled rows too, as a table of their own.

    Goes through the rows twice: first to find duplicates, conflicts and given splits, then to write. Memory holds ids,
    not rows: texts wait in a temporary file beside `prepared_folder`, and images are read again.

    Raises:
        HeadstartError: the source cannot be read, too many rows are unreadable, or `prepared_folder` holds anything but
            an earlier prepared table; a setting of labels does not fit the data; or, unless there are unlabelled rows,
            all rows have the same label, a class has no training row, `prepare.test` leaves no test row, or a
            cross-validation has too few rows.
    """
    data, inputs = Path(settings.data), [Path(settings.data), *([Path(settings.labels)] if settings.labels else [])]
    targets.check_folder(prepared_folder, CONTENT, inputs)
    reading = sources.Reading(settings.encoding, settings.sheet, settings.follow_links)
    columns = sources.Columns(settings.input, settings.label, settings.group, settings.slice, settings.split)
    modality = sources.modality(data, columns, settings.modality, reading)
    given = GivenLabels.read(settings.labels)
    form, reason = label_task.choose(data, settings, columns, reading, given.texts())
    columns, given = replace(columns, form=form), given.in_form(form)
    list_file = prepared_folder.with_name(f"{prepared_folder.name}.rejected.parquet")  # of a run that fails
    targets.check_file(list_file, rejections.is_table, verb="prepare", inputs=inputs)
    selection, notes = Selection(settings, form.task, given.splits()), sources.Notes()
    unreadable = Rejections()
    with _passes(data, columns, reading, settings, modality=modality, folder=prepared_folder.parent) as passes:
        passes.read(selection, unreadable, given, notes)
        skipped = [rejections.record(row) for row in notes.skipped]
        with _listed_on_error(list_file, [*unreadable.records, *skipped], prepared_folder):
            _check_unreadable(selection, unreadable)
        given.check(data)
        selection.decide()
        with atomic.directory(prepared_folder, CONTENT) as out:
            info = _table_info(settings, modality, selection)
            counts, left_out = _write(out, passes, selection, info)
            _write_learning(out, info, learn_from_unlabelled=learn_from_unlabelled)
            rejections.write(out / "rejected.parquet", left_out + skipped)
            outcome.check_unknown(counts, settings, is_tested=selection.is_tested)
            with _listed_on_error(list_file, left_out + skipped, prepared_folder):
                outcome.check(counts, settings, is_tested=selection.is_tested)
            summary = outcome.summary(selection.rows, counts)
            json_file.write(out / "summary.json", summary)
    list_file.unlink(missing_ok=True)
    _print_counts(prepared_folder, selection, counts)
    before = chain([reason] if reason else (), outcome.similar_classes(summary), notes.sentences())
    on_data = chain(sources.remarks(data, follow_links=settings.follow_links), given.remarks(data))
    for sentence in chain(before, on_data, outcome.remarks(selection, counts, data)):
        print(f"prepare: {printable(sentence)}")


@contextmanager
def _passes(
    data: Path,
    columns: sources.Columns,
    reading: sources.Reading,
    settings: PrepareParams,
    *,
    modality: Modality,
    folder: Path,
) -> Iterator[TextPasses | ImagePasses]:
    """Yield what goes through the rows twice; folder: of its temporary file."""
    if modality == "image":
        yield ImagePasses(data, columns, reading, settings)
        return
    with TextPasses(data, columns, reading, folder) as passes:
        yield passes


def _write_learning(out: Path, info: prepared.TableInfo, *, learn_from_unlabelled: bool) -> None:
    """Write the unlabelled rows again, for finetune, or an empty table."""
    if learn_from_unlabelled:
        shutil.copytree(out / prepared.UNLABELLED, out / prepared.LEARNING)
        return
    with prepared.writer(out / prepared.LEARNING, info):
        pass


def _table_info(settings: PrepareParams, modality: Modality, selection: Selection) -> prepared.TableInfo:
    is_image = modality == "image"
    return prepared.TableInfo(
        input="image" if sources.is_image_folder(Path(settings.data)) else settings.input,
        modality=modality,
        encoding=settings.encoding,
        sheet=settings.sheet,
        max_side=settings.max_side if is_image else None,
        max_pixels=settings.max_pixels if is_image else None,
        task=selection.task,
        order=selection.order(),
    )


def _print_counts(prepared_folder: Path, selection: Selection, counts: Counts) -> None:
    kept = ", ".join(f"{counts.rows(split):,} {split}" for split in prepared.SPLITS)
    kept += f", {counts.unlabelled:,} unlabelled" if counts.unlabelled else ""
    kept += f", {counts.unknown.total():,} unknown" if counts.unknown else ""
    print(
        f"prepare: {counted(selection.rows, 'row')} {outcome.in_words(counts)} -> {kept};"
        f" {counts.left_out.total():,} left out ({prepared_folder / 'rejected.parquet'})"
        f" in {run_stats.spent()}"
    )


@contextmanager
def _listed_on_error(path: Path, records: list[Record], folder: Path) -> Iterator[None]:
    """Write the rows that are left out to `path` if the block raises a HeadstartError, whose sentence then names it.

    Args:
        folder: the output of the stage.
    """
    try:
        yield
    except HeadstartError as error:
        if not records:
            raise
        rejections.write(path, records)
        # DVC has deleted the outputs before it ran this stage.
        restore = f"; `dvc checkout {folder}` brings back the last output" if "DVC_STAGE" in os.environ else ""
        raise HeadstartError(f"{error}; {path} lists all rows that are left out{restore}") from None


def _check_unreadable(selection: Selection, unreadable: Rejections) -> None:
    """Raise a HeadstartError if there are no rows, or too many that cannot be used."""
    settings = selection.settings
    if not selection.rows:
        raise HeadstartError(f"{settings.data} has no rows; it needs rows below its header")
    number = len(unreadable.records)
    if number / selection.rows > settings.max_rejected:
        raise HeadstartError(
            f"{settings.data}: {number:,} of {selection.rows:,} rows cannot be used ({unreadable.in_words()}), more"
            f" than prepare.max_rejected = {settings.max_rejected:g} allows; correct them or raise it"
        )


def _write(
    out: Path, passes: TextPasses | ImagePasses, selection: Selection, info: prepared.TableInfo
) -> tuple[Counts, list[Record]]:
    """Write rows to their tables, those of the class `prepare.unknown` apart; return counts and those left out."""
    counts, unknown, left_out = Counts(info.task), selection.settings.unknown, list[LeftOut]()
    names = (*prepared.TABLES, *(prepared.UNKNOWN if unknown else ()))
    with ExitStack() as stack:
        writers = {name: stack.enter_context(prepared.writer(out / name, info)) for name in names}
        write = {name: stack.enter_context(behind(writers[name].write)) for name in names}
        for name, rows in passes.kept(selection, left_out):
            table, labels = _labelled(rows.select(writers[name].schema.names), selection)
            if unknown and unknown in labels:
                are_unknown = pc.equal(table["label"], unknown)
                write[prepared.unknown(name)](table.filter(are_unknown))
                counts.unknown[name] += labels.pop(unknown)
                table = table.filter(pc.invert(are_unknown))
            counts.add(labels, name)
            write[name](table)
    counts.left_out.update(kind for kind, _ in left_out)
    return counts, [record for _, record in left_out]


def _labelled(rows: pa.Table, selection: Selection) -> tuple[pa.Table, dict[str | None, int]]:
    """Return rows that are kept with the labels that they keep, and how many have each of these."""
    codes = rows["label"].combine_chunks().dictionary_encode(null_encoding="encode")
    names = pa.array([label and selection.kept_label(label) for label in codes.dictionary.to_pylist()], pa.string())
    labels, counts = names.take(codes.indices), Counter[str | None]()
    for name, number in zip(names.to_pylist(), np.bincount(codes.indices, minlength=len(names)).tolist(), strict=True):
        counts[name] += number
    return rows.set_column(rows.column_names.index("label"), "label", labels), counts


def main() -> None:
    hidden_modules.use_arrow_without_pandas()
    args = cli.arguments(__doc__, prepared="folder to write")
    settings = params.load(args.params)
    prepare(args.prepared, settings.prepare, learn_from_unlabelled=settings.finetune.unlabelled is not None)


if __name__ == "__main__":
    cli.run(main)
