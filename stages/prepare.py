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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from tqdm import tqdm

from stages import sources
from stages.common import atomic, cli, json_file, params, run_stats, targets, threads
from stages.common.errors import HeadstartError, counted, printable
from stages.common.params import Modality
from stages.common.prepare_params import PrepareParams
from stages.common.setting_types import TaskName
from stages.sources import Row, label_task, outcome, rejections
from stages.sources.counts import Counts
from stages.sources.given_labels import GivenLabels
from stages.sources.rejections import Record, Rejections
from stages.sources.selection import Selection
from stages.tables import prepared

Result = TypeVar("Result")

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

    Reads the source twice: first to find duplicates, conflicts and given splits, then to write. Memory holds ids, not
    rows.

    Raises:
        HeadstartError: the source cannot be read, too many rows are unreadable, or `prepared_folder` holds anything but
            an earlier prepared table; a setting of labels does not fit the data; or, unless there are unlabelled rows,
            all rows have the same label, a class has no training row, `prepare.test` leaves no test row, or a
            cross-validation has too few rows.
    """
    inputs = [Path(settings.data), *([Path(settings.labels)] if settings.labels else [])]
    targets.check_folder(prepared_folder, CONTENT, inputs)
    data = Path(settings.data)
    reading = sources.Reading(settings.encoding, settings.sheet, settings.follow_links)
    columns = sources.Columns(settings.input, settings.label, settings.group, settings.slice, settings.split)
    modality = sources.modality(data, columns, settings.modality, reading)
    given = GivenLabels.read(settings.labels)
    form, reason = label_task.choose(data, settings, columns, reading, given.texts())
    columns, given = replace(columns, form=form), given.in_form(form)
    rows = partial(sources.rows, data, columns, modality, reading)
    notes = sources.Notes()
    list_file = prepared_folder.with_name(f"{prepared_folder.name}.rejected.parquet")  # of a run that fails
    targets.check_file(list_file, rejections.is_table, verb="prepare", inputs=inputs)
    selection, unreadable = _first_pass(rows(), notes, settings, given, form.task)
    skipped = [rejections.record(row) for row in notes.skipped]
    with _listed_on_error(list_file, [*unreadable.records, *skipped], prepared_folder):
        _check_unreadable(selection, unreadable)
    given.check(data)
    selection.decide()
    info = _table_info(settings, modality, selection)
    with atomic.directory(prepared_folder, CONTENT) as out:
        counts, left_out = _second_pass(out, sources.Notes().without_skipped(rows()), selection, info, given)
        if learn_from_unlabelled:
            shutil.copytree(out / prepared.UNLABELLED, out / prepared.LEARNING)
        else:
            with prepared.writer(out / prepared.LEARNING, info):
                pass
        rejections.write(out / "rejected.parquet", left_out + skipped)
        outcome.check_unknown(counts, settings, is_tested=selection.is_tested)
        if not counts.unlabelled and (problem := outcome.problem(counts, settings, is_tested=selection.is_tested)):
            with _listed_on_error(list_file, left_out + skipped, prepared_folder):
                raise HeadstartError(problem)
        summary = outcome.summary(selection.rows, counts)
        json_file.write(out / "summary.json", summary)
    list_file.unlink(missing_ok=True)
    _print_counts(prepared_folder, selection, counts)
    for sentence in chain(
        [reason] if reason else (),
        outcome.similar_classes(summary),
        notes.sentences(),
        sources.remarks(data, follow_links=settings.follow_links),
        given.remarks(data),
        outcome.remarks(selection, counts, data),
    ):
        print(f"prepare: {printable(sentence)}")


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


def _first_pass(
    rows: Iterator[Row], notes: sources.Notes, settings: PrepareParams, given: GivenLabels, task: TaskName
) -> tuple[Selection, Rejections]:
    """Read all rows; gives what is known of them, and those that cannot be used."""
    selection, unreadable = Selection(settings, task, given.splits()), Rejections()
    identify = partial(_identify, max_pixels=settings.max_pixels)
    progress = tqdm(
        _parallel(identify, notes.without_skipped(rows)), desc="prepare: reading", unit=" rows", disable=None
    )
    for number, row, row_id in progress:
        given.note(row, row_id)
        selection.add(number, given.join(row, row_id), row_id)
        notes.add(row)
        unreadable.add(row)
    return selection, unreadable


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


def _identify(numbered: tuple[int, Row], *, max_pixels: int) -> tuple[int, Row, str]:
    """Return (row number, the row without its image and with a problem if it has one, id)."""
    number, row = numbered
    row_id = "" if row.problem else prepared.content_id(row.content)
    if isinstance(row.content, str):
        return number, row, row_id
    return number, replace(sources.check(row, max_pixels=max_pixels), content=b""), row_id


def _second_pass(
    out: Path, rows: Iterator[Row], selection: Selection, info: prepared.TableInfo, given: GivenLabels
) -> tuple[Counts, list[Record]]:
    """Write each row to the table of its split, or list it with the reason why it is left out."""

    def finish(numbered: tuple[int, Row]) -> tuple[Row, str, tuple[str, str] | None]:
        number, row = numbered
        row_id = prepared.content_id(row.content)
        row = given.join(row, row_id)
        reason = selection.reason_to_leave_out(number, row, row_id)
        row = row if reason else sources.ready(row, max_side=info.max_side)
        return row, row_id, reason or (("unreadable", row.problem) if row.problem else None)

    counts = Counts(info.task)
    left_out: list[Record] = []
    columns = ("id", info.modality, "spans", "label", "group", "slice", "source")
    unknown = selection.settings.unknown
    tables = (*prepared.TABLES, *(prepared.UNKNOWN if unknown else ()))
    batches: dict[str, list[tuple[Any, ...]]] = {table: [] for table in tables}
    with ExitStack() as stack:
        writers = {table: stack.enter_context(prepared.writer(out / table, info)) for table in tables}
        finished = _parallel(finish, rows)
        progress = tqdm(finished, total=selection.rows, desc="prepare: writing", unit=" rows", disable=None)
        for row, row_id, reason in progress:
            if reason:
                counts.left_out[reason[0]] += 1
                left_out.append({"source": row.origin, "reason": reason[1]})
                continue
            split = selection.split(row, row_id)
            label = None if row.label is None else selection.kept_label(row.label)
            if label is not None and label == unknown:
                counts.unknown[split] += 1
                split = prepared.unknown(split)
            else:
                counts.add(label, split)
            batch = batches[split]
            batch.append((row_id, row.content, row.spans, label, row.group, row.slice, row.origin))
            if len(batch) == prepared.WINDOW_ROWS[info.modality]:
                writers[split].write(_table(batch, columns, writers[split].schema))
                batch.clear()
        for table, batch in batches.items():
            writers[table].write(_table(batch, columns, writers[table].schema))
    return counts, left_out


def _table(rows: list[tuple[Any, ...]], columns: tuple[str, ...], schema: pa.Schema) -> pa.Table:
    """Make a table of rows, whose values are in the order of `columns`; the schema may have fewer."""
    values = dict(zip(columns, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(columns, ())
    return pa.table([pa.array(values[field.name], field.type) for field in schema], schema=schema)


def _parallel(function: Callable[[tuple[int, Row]], Result], rows: Iterator[Row]) -> Iterator[Result]:
    """Yield `function((row number, row))` in order; images on all cores, texts, which take no time, in this thread."""
    numbered = zip(count(), rows, strict=False)
    first = next(numbered, None)
    if first is None:
        return iter(())
    items = chain([first], numbered)
    if isinstance(first[1].content, str):
        return map(function, items)
    return threads.ordered(function, items, workers=threads.cores())


def main() -> None:
    args = cli.arguments(__doc__, prepared="folder to write")
    settings = params.load(args.params)
    prepare(args.prepared, settings.prepare, learn_from_unlabelled=settings.finetune.unlabelled is not None)


if __name__ == "__main__":
    cli.run(main)
