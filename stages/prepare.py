"""Prepare: raw rows in, one self-contained table per split out, and a list of every row that was left out.

    python -m stages.prepare data/prepared

Reads `prepare` from params.yaml. Writes train/, validation/ and test/ as Parquet shards, images packed in,
rejected.parquet (source and reason of each row left out) and summary.json (counts per split and class).
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from stages import sources
from stages.common import atomic, cli, params, run_stats, threads
from stages.common.errors import HeadstartError
from stages.common.params import PrepareParams
from stages.sources import Row
from stages.tables import images, prepared

Result = TypeVar("Result")

REJECTED = pa.schema([("source", pa.string()), ("reason", pa.string())])


@dataclass(slots=True)
class _Content:
    """One distinct content: the row that is kept of it, and the labels it came under."""

    keeper: int
    rank: int
    origin: str
    labels: tuple[str, ...]


@dataclass
class _Plan:
    """What the first pass over the rows learns."""

    rows: int = 0
    names_files: bool = False
    unreadable: dict[int, str] = field(default_factory=dict)  # number of the row: why
    examples: list[str] = field(default_factory=list)
    given: set[str] = field(default_factory=set)
    contents: dict[str, _Content] = field(default_factory=dict)


@dataclass
class _Counts:
    """What the second pass wrote and left out."""

    classes: dict[str, Counter[str]] = field(default_factory=lambda: {split: Counter() for split in prepared.SPLITS})
    left_out: Counter[str] = field(default_factory=Counter)

    def rows(self, split: str) -> int:
        return self.classes[split].total()

    def labels(self) -> list[str]:
        return sorted(set().union(*self.classes.values()))


def prepare(prepared_folder: Path, settings: PrepareParams) -> None:
    """Write the prepared table of `settings.data` to `prepared`.

    The source is read twice: first to find duplicates, conflicts and given splits, then to write. Memory holds the
    ids, not the rows.

    Raises:
        HeadstartError: the source cannot be read, too many rows are unreadable, there is one class only, a class has
            no training row, or no test row is left.
    """
    columns = sources.Columns(settings.input, settings.label, settings.group, settings.slice, settings.split)
    data = Path(settings.data)
    info = prepared.TableInfo(
        input="image" if sources.is_image_folder(data) else settings.input,
        modality=sources.modality(data, columns, settings.modality),
        max_side=None,
    )
    if info.modality == "image":
        info = info.model_copy(update={"max_side": settings.max_side})

    def rows() -> Iterator[Row]:
        return sources.rows(data, columns, info.modality)

    plan = _first_pass(rows(), settings)
    with atomic.directory(prepared_folder) as out:
        counts = _second_pass(out, rows(), plan, info, settings)
        _check_classes(counts, settings)
        summary: dict[str, Any] = {
            "rows": plan.rows,
            "kept": {split: counts.rows(split) for split in prepared.SPLITS},
            "left_out": {reason: counts.left_out[reason] for reason in ("unreadable", "duplicate", "conflict")},
            "classes": {
                label: {split: counts.classes[split][label] for split in prepared.SPLITS} for label in counts.labels()
            },
        }
        if similar := _similar(counts.labels()):
            summary["similar_classes"] = similar
        (out / "summary.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", "utf-8")
    kept = ", ".join(f"{counts.rows(split):,} {split}" for split in prepared.SPLITS)
    print(
        f"prepare: {plan.rows:,} rows in {len(counts.labels())} classes -> {kept};"
        f" {counts.left_out.total():,} left out ({prepared_folder / 'rejected.parquet'})"
        f" in {run_stats.spent()}"
    )
    for names in similar:
        print(f"prepare: {' and '.join(map(repr, names))} look like one class; correct the table if they are")
    if plan.names_files and data.is_file():
        print(
            f"prepare: DVC watches {data}, not the images that it names; to have both watched, name the table"
            f" train{data.suffix.lower()} and set prepare.data to its folder"
        )


def _first_pass(rows: Iterator[Row], settings: PrepareParams) -> _Plan:
    plan = _Plan()
    progress = tqdm(_over_cores(_checked, rows), desc="prepare: reading", unit=" rows", disable=None)
    for number, row, row_id in progress:
        plan.rows += 1
        plan.names_files |= row.name is not None
        if row.problem:
            plan.unreadable[number] = row.problem
            if len(plan.examples) < 3:
                plan.examples.append(f"{row.origin}: {row.problem}")
            continue
        assert row.label is not None
        if row.split:
            plan.given.add(row.split)
        # Of the copies in several given splits the one in the later split stays: a published test file keeps its rows.
        rank = prepared.SPLITS.index(row.split) if row.split else 0
        content = plan.contents.setdefault(row_id, _Content(number, rank, row.origin, (row.label,)))
        if row.label not in content.labels:
            content.labels = (*content.labels, row.label)
        if rank > content.rank:
            content.keeper, content.rank, content.origin = number, rank, row.origin
    if not plan.rows:
        raise HeadstartError(f"{settings.data} has no rows; it needs labelled rows below its header")
    if len(plan.unreadable) / plan.rows > settings.max_rejected:
        raise HeadstartError(
            f"{settings.data}: {len(plan.unreadable):,} of {plan.rows:,} rows cannot be used"
            f" ({'; '.join(plan.examples)}{'; …' if len(plan.unreadable) > len(plan.examples) else ''}), more than"
            f" prepare.max_rejected = {settings.max_rejected:g} allows; correct them or raise it"
        )
    return plan


def _second_pass(
    out: Path, rows: Iterator[Row], plan: _Plan, info: prepared.TableInfo, settings: PrepareParams
) -> _Counts:
    """Write each row to the table of its split, or to rejected.parquet."""

    def finished(numbered: tuple[int, Row]) -> tuple[Row, str, tuple[str, str] | None, str | bytes]:
        number, row = numbered
        row_id = _id(row)
        reason = _reason(plan, number, row, row_id)
        return row, row_id, reason, row.content if reason else _packed(row, settings.max_side)

    counts = _Counts()
    batches: dict[str, list[dict[str, Any]]] = {split: [] for split in prepared.SPLITS}
    with ExitStack() as stack:
        writers = {split: stack.enter_context(prepared.writer(out / split, info)) for split in prepared.SPLITS}
        rejected = stack.enter_context(pq.ParquetWriter(out / "rejected.parquet", REJECTED, compression="zstd"))
        left_out: list[dict[str, str]] = []
        done = _over_cores(finished, rows)
        for row, row_id, reason, content in tqdm(
            done, total=plan.rows, desc="prepare: writing", unit=" rows", disable=None
        ):
            if reason:
                counts.left_out[reason[0]] += 1
                left_out.append({"source": row.origin, "reason": reason[1]})
                continue
            assert row.label is not None
            split = _split(row, row_id, plan.given, settings)
            counts.classes[split][row.label] += 1
            batch = batches[split]
            shown = {"label": row.label, "group": row.group, "slice": row.slice, "source": row.origin}
            batch.append({"id": row_id, info.modality: content, **shown})
            if len(batch) == prepared.WINDOW_ROWS[info.modality]:
                writers[split].write(pa.Table.from_pylist(batch, writers[split].schema))
                batch.clear()
        for split, batch in batches.items():
            writers[split].write(pa.Table.from_pylist(batch, writers[split].schema))
        rejected.write_table(pa.Table.from_pylist(left_out, REJECTED))
    return counts


def _over_cores(function: Callable[[tuple[int, Row]], Result], rows: Iterator[Row]) -> Iterator[Result]:
    """`function` over the numbered rows; images on all cores, texts, which take no time, right here."""
    numbered = zip(count(), rows, strict=False)
    first = next(numbered, None)
    if first is None:
        return iter(())
    items = chain([first], numbered)
    if isinstance(first[1].content, str):
        return map(function, items)
    return threads.ordered(function, items, workers=threads.cores())


def _checked(numbered: tuple[int, Row]) -> tuple[int, Row, str]:
    """The row with its id, without its content, and with a problem if its image cannot be decoded."""
    number, row = numbered
    if row.problem:
        return number, row, ""
    row_id = _id(row)
    if isinstance(row.content, bytes):
        try:
            images.decode(row.content, name=row.name)
        except images.UnreadableImageError as error:
            return number, replace(row, problem=f"{row.name or 'the image'} {error}", content=b""), row_id
    return number, replace(row, content=""), row_id


def _id(row: Row) -> str:
    return prepared.content_id(row.content if isinstance(row.content, bytes) else row.content.encode())


def _packed(row: Row, max_side: int | None) -> str | bytes:
    return images.pack(row.content, max_side) if isinstance(row.content, bytes) else row.content


def _reason(plan: _Plan, number: int, row: Row, row_id: str) -> tuple[str, str] | None:
    """(kind, explanation) of why a row is left out, or None."""
    if number in plan.unreadable:
        return "unreadable", plan.unreadable[number]
    content = plan.contents.get(row_id)
    if content is None:
        raise HeadstartError(f"{row.origin} changed while it was read; run `dvc repro prepare` again")
    if len(content.labels) > 1:
        return "conflict", f"the same content is labelled {' and '.join(sorted(content.labels))}"
    if content.keeper != number:
        return "duplicate", f"duplicate of {content.origin}"
    return None


def _split(row: Row, row_id: str, given: set[str], settings: PrepareParams) -> str:
    """The given split where there is one; a split that nobody gave is cut from the training rows."""
    if row.split in ("validation", "test"):
        return row.split
    return prepared.split_of(
        row.group or row_id,
        validation=0 if "validation" in given else settings.validation,
        test=0 if "test" in given else settings.test,
        seed=settings.seed,
    )


def _similar(labels: list[str]) -> list[list[str]]:
    """Groups of labels that differ only in case, spaces or the way that Unicode writes them."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        plain = " ".join(unicodedata.normalize("NFKC", label).casefold().split())
        groups.setdefault(plain, []).append(label)
    return [group for group in groups.values() if len(group) > 1]


def _check_classes(counts: _Counts, settings: PrepareParams) -> None:
    labels = counts.labels()
    if len(labels) < 2:
        raise HeadstartError(
            f"{settings.data} has {'one class only, ' + labels[0] if labels else 'no usable rows'};"
            f" a classifier needs two classes in column {settings.label}"
        )
    if missing := [label for label in labels if not counts.classes["train"][label]]:
        raise HeadstartError(
            f"{settings.data}: no training row for {', '.join(missing[:10])}{' …' if len(missing) > 10 else ''};"
            " label more rows of it, or change prepare.test, prepare.validation or prepare.seed"
        )
    if not counts.rows("test"):
        raise HeadstartError(f"{settings.data} leaves no test rows; raise prepare.test or give more rows")


def main() -> None:
    args = cli.arguments(__doc__, prepared="folder to write")
    prepare(args.prepared, params.load(args.params).prepare)


if __name__ == "__main__":
    cli.run(main)
