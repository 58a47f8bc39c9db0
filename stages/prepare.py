"""Prepare: raw rows in, one self-contained table per split out, and a list of every row that was left out.

    python -m stages.prepare data/prepared

Reads `prepare` from params.yaml. Writes train/, validation/ and test/ as Parquet shards, rejected.parquet (source and
reason of each row left out) and summary.json (counts per split and class).
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from stages import cli, outputs, params, samples, shards, sources
from stages.errors import HeadstartError
from stages.params import PrepareParams

BATCH = 4_096
REJECTED = pa.schema([("source", pa.string()), ("reason", pa.string())])


@dataclass(slots=True)
class _Content:
    """One distinct content: the row that is kept of it, and the labels it came under."""

    keeper: int
    rank: int
    source: str
    labels: tuple[str, ...]


@dataclass
class _Plan:
    """What the first pass over the rows learns."""

    rows: int = 0
    unreadable: int = 0
    examples: list[str] = field(default_factory=list)
    given: set[str] = field(default_factory=set)
    contents: dict[str, _Content] = field(default_factory=dict)


@dataclass
class _Counts:
    """What the second pass wrote and left out."""

    classes: dict[str, Counter[str]] = field(default_factory=lambda: {split: Counter() for split in samples.SPLITS})
    left_out: Counter[str] = field(default_factory=Counter)

    def rows(self, split: str) -> int:
        return self.classes[split].total()

    def labels(self) -> list[str]:
        return sorted(set().union(*self.classes.values()))


def prepare(prepared: Path, settings: PrepareParams) -> None:
    """Write the prepared table of `settings.data` to `prepared`.

    The source is read twice: first to find duplicates, conflicts and given splits, then to write. Memory holds the
    ids, not the rows.

    Raises:
        HeadstartError: the source cannot be read, too many rows are unreadable, there is one class only, a class has
            no training row, or no test row is left.
    """
    plan = _first_pass(settings)
    with outputs.directory(prepared) as out:
        counts = _second_pass(out, plan, settings)
        _check_classes(counts, settings)
        summary = {
            "rows": plan.rows,
            "kept": {split: counts.rows(split) for split in samples.SPLITS},
            "left_out": {reason: counts.left_out[reason] for reason in ("unreadable", "duplicate", "conflict")},
            "classes": {
                label: {split: counts.classes[split][label] for split in samples.SPLITS} for label in counts.labels()
            },
        }
        (out / "summary.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", "utf-8")
    kept = ", ".join(f"{counts.rows(split):,} {split}" for split in samples.SPLITS)
    print(
        f"prepare: {plan.rows:,} rows in {len(counts.labels())} classes -> {kept};"
        f" {counts.left_out.total():,} left out ({prepared / 'rejected.parquet'})"
    )


def _first_pass(settings: PrepareParams) -> _Plan:
    plan = _Plan()
    for number, row in enumerate(_rows(settings)):
        plan.rows += 1
        if row.problem:
            plan.unreadable += 1
            if len(plan.examples) < 3:
                plan.examples.append(f"{row.source}: {row.problem}")
            continue
        assert row.label is not None
        if row.split:
            plan.given.add(row.split)
        # Of the copies in several given splits the one in the later split stays: a published test file keeps its rows.
        rank = samples.SPLITS.index(row.split) if row.split else 0
        content = plan.contents.setdefault(
            samples.content_id(row.text.encode()), _Content(number, rank, row.source, (row.label,))
        )
        if row.label not in content.labels:
            content.labels = (*content.labels, row.label)
        if rank > content.rank:
            content.keeper, content.rank, content.source = number, rank, row.source
    if not plan.rows:
        raise HeadstartError(f"{settings.data} has no rows; it needs labelled rows below its header")
    if plan.unreadable / plan.rows > settings.max_rejected:
        raise HeadstartError(
            f"{settings.data}: {plan.unreadable:,} of {plan.rows:,} rows cannot be used ({'; '.join(plan.examples)}"
            f"{'; …' if plan.unreadable > len(plan.examples) else ''}), more than prepare.max_rejected ="
            f" {settings.max_rejected:g} allows; correct them or raise it"
        )
    return plan


def _second_pass(out: Path, plan: _Plan, settings: PrepareParams) -> _Counts:
    """Write each row to the table of its split, or to rejected.parquet."""
    counts = _Counts()
    metadata = {"input": settings.input, "modality": "text"}
    batches: dict[str, list[dict[str, str | None]]] = {split: [] for split in samples.SPLITS}
    progress = tqdm(_rows(settings), total=plan.rows, desc="prepare", unit=" rows", disable=None)
    with ExitStack() as stack:
        writers = {
            split: stack.enter_context(shards.Writer(out / split, samples.SCHEMA, metadata)) for split in samples.SPLITS
        }
        rejected = stack.enter_context(pq.ParquetWriter(out / "rejected.parquet", REJECTED, compression="zstd"))
        left_out: list[dict[str, str]] = []
        for number, row in enumerate(progress):
            row_id = samples.content_id(row.text.encode())
            if reason := _reason(plan, number, row, row_id):
                counts.left_out[reason[0]] += 1
                left_out.append({"source": row.source, "reason": reason[1]})
                continue
            assert row.label is not None
            split = _split(row, row_id, plan.given, settings)
            counts.classes[split][row.label] += 1
            batch = batches[split]
            batch.append({"id": row_id, "text": row.text, "label": row.label, "group": row.group, "source": row.source})
            if len(batch) == BATCH:
                writers[split].write(pa.Table.from_pylist(batch, samples.SCHEMA))
                batch.clear()
        for split, batch in batches.items():
            writers[split].write(pa.Table.from_pylist(batch, samples.SCHEMA))
        rejected.write_table(pa.Table.from_pylist(left_out, REJECTED))
    return counts


def _rows(settings: PrepareParams) -> Iterator[sources.Row]:
    columns = sources.Columns(settings.input, settings.label, settings.group, settings.split)
    return sources.rows(Path(settings.data), columns)


def _reason(plan: _Plan, number: int, row: sources.Row, row_id: str) -> tuple[str, str] | None:
    """(kind, explanation) of why a row is left out, or None."""
    if row.problem:
        return "unreadable", row.problem
    content = plan.contents[row_id]
    if len(content.labels) > 1:
        return "conflict", f"the same content is labelled {' and '.join(sorted(content.labels))}"
    if content.keeper != number:
        return "duplicate", f"duplicate of {content.source}"
    return None


def _split(row: sources.Row, row_id: str, given: set[str], settings: PrepareParams) -> str:
    """The given split where there is one; a split that nobody gave is cut from the training rows."""
    if row.split in ("validation", "test"):
        return row.split
    return samples.split_of(
        row.group or row_id,
        validation=0 if "validation" in given else settings.validation,
        test=0 if "test" in given else settings.test,
        seed=settings.seed,
    )


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
