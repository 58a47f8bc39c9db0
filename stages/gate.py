"""Gate: is the workspace's model worse than the baseline's, beyond chance and tolerance? For CI and for people.

    python -m stages.gate BASE [--markdown FILE] [--allow-missing-baseline]

BASE is a Git revision or an experiment, whose evaluation DVC reads from its cache or remote, or a folder that
evaluate wrote. The gate judges the fine-tuned model, or the head where none was judged, on the rows that both
evaluations have: test rows, or cross-validated ones, whose intervals are longer as folds share rows. Reads `gate` from
params.yaml, here and in the revision: the stricter of both counts. Writes nothing but FILE.

Exit codes: 0 passed; 1 a metric is worse beyond its tolerance, worse than its floor or no longer defined, or the
workspace has no evaluation; 2 something could not be compared: no baseline, other classes, no row in common, or a
metric that is not defined for these rows. --allow-missing-baseline passes only where BASE never had an evaluation, not
where its evaluation cannot be read.
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from stages.common import atomic, cli, params, run_stats, targets
from stages.common.errors import HeadstartError, counted, printable
from stages.common.gate_params import GateParams
from stages.common.section import validate
from stages.comparison import markdown, paired, stored, strictness
from stages.comparison.markdown import escaped
from stages.comparison.paired import Comparison, Difference
from stages.comparison.stored import Baseline, Evaluation
from stages.evaluation import labels_saved
from stages.scores import metric_texts
from stages.tasks import Task

HEADER = ("metric", "before", "after", "difference", "95 % interval", "verdict")
TITLE = "### gate: "  # how a page starts
STRICTER = "the stricter of both counts"
MAX_CHANGES = 30  # changed settings that are listed


def gate(
    *,
    base: str,
    folder: Path,
    settings: GateParams,
    settings_file: Path,
    page: Path | None,
    allow_missing_baseline: bool,
) -> int:
    """Compare the evaluation in `folder` with that of `base`, print the result, and return the exit code.

    Args:
        base: git revision, or folder of an evaluation.
        folder: the workspace's evaluation.
        settings: metrics, tolerances and floors.
        settings_file: params.yaml, in the workspace and in the revision.
        page: file to write the result to as Markdown, or None.
        allow_missing_baseline: whether to pass where `base` never had an evaluation.

    Raises:
        HeadstartError: the workspace has no evaluation, or one of the two is damaged.
    """
    if page:
        targets.check_file(page, _is_verdict, verb="gate", inputs=[folder, settings_file])
        page.unlink(missing_ok=True)  # an earlier verdict must not stand for one that ends with an error
    try:
        after = stored.from_folder(folder, settings_file)
        numbers = _numbers(folder, after.predictions.task) if page else []
    except stored.MissingError as error:
        raise HeadstartError(f"there is no evaluation to judge, as {error}; run `dvc repro`") from None
    baseline = stored.read_baseline(base, folder, settings_file)
    before = baseline.evaluation
    base_settings = _settings_of(baseline, base, settings)
    judged_by = strictness.strictest(base_settings, settings)
    comparison = paired.compare(before.predictions if before else None, after.predictions, judged_by)
    code = _exit_code(comparison, may_be_missing=baseline.none_yet and allow_missing_baseline)
    outcome = f"gate: {('passed', 'failed', 'could not compare')[code]} against {base}"
    reason = "; ".join(filter(None, (baseline.missing or comparison.reason, comparison.undefined)))
    changes = list(strictness.changes(base_settings, settings))
    print("\n".join(markdown.aligned([HEADER, *map(_cells, comparison.differences)])))
    for name, old, new in changes:
        print(f"gate: {name} is {old} in {base} and {new} here; {STRICTER}")
    if before:
        print(f"gate: {_row_counts(comparison, before, after)}")
    if comparison.other_data:
        print(f"gate: {comparison.other_data}")
    print(printable(f"{outcome}{f': {reason}' if reason else ''}, in {run_stats.spent()}"))
    if page:
        lines = _markdown(comparison, before, after, numbers, outcome=outcome, reason=reason, gate_changes=changes)
        with atomic.file(page) as out:
            out.write_text("\n".join(lines) + "\n", "utf-8", newline="\n")
    return code


def _exit_code(comparison: Comparison, *, may_be_missing: bool) -> int:
    if not comparison.passed:
        return 1
    return 2 if comparison.undefined or (comparison.reason and not may_be_missing) else 0


def _settings_of(baseline: Baseline, base: str, own: GateParams) -> GateParams:
    """Return the settings of the baseline; those of the workspace where it has none, as a folder."""
    if baseline.settings is None:
        return own
    return validate(GateParams, baseline.settings.get("gate") or {}, file=f"section gate of params.yaml in {base}")


def _is_verdict(path: Path) -> bool:
    """Tell whether a file is empty, or a page that the gate wrote."""
    with path.open("rb") as file:
        return file.read(len(TITLE)) in (b"", TITLE.encode())


def _markdown(
    comparison: Comparison,
    before: Evaluation | None,
    after: Evaluation,
    numbers: Sequence[str],
    *,
    outcome: str,
    reason: str,
    gate_changes: Sequence[tuple[str, str, str]],
) -> Iterator[str]:
    """Yield the lines of the comment for a pull request."""
    yield f"### {escaped(outcome)}\n"
    if reason:
        yield f"{escaped(reason)}\n"
    yield from markdown.table(HEADER, map(_cells, comparison.differences))
    if before:
        yield f"\n{_row_counts(comparison, before, after)}\n"
    if comparison.other_data:
        yield f"\n{comparison.other_data[0].upper()}{comparison.other_data[1:]}.\n"
    if gate_changes:
        yield f"\nThis change alters the gate; {STRICTER}.\n"
    changes = [
        *gate_changes,
        *(_changed_settings(before.settings, after.settings) if before and before.settings else ()),
    ]
    if changes:
        rows = [(_code(name), escaped(old), escaped(new)) for name, old, new in changes[:MAX_CHANGES]]
        if len(changes) > MAX_CHANGES:
            rows.append(("…", f"{len(changes) - MAX_CHANGES} more", ""))
        yield from markdown.table(("setting", "before", "after"), rows)
    yield from numbers


def _numbers(folder: Path, task: Task) -> list[str]:
    """Return the lines of the page that tell how good the models of the workspace's evaluation are.

    Raises:
        MissingError, HeadstartError: as `stored.read_details`.
    """
    details = stored.read_details(folder)
    try:
        names = [task.primary, task.second, *(["calibration_error"] if task.has_classes else [])]
        header = ("this change", *map(metric_texts.name, names))
        lines = ["", *markdown.table(header, _models(details, names))]
        saved = labels_saved.sentence(details["labels_saved"], has_classes=task.has_classes)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise stored.damaged(str(folder), error) from None
    return [*lines, *([f"\n{saved[0].upper()}{saved[1:]}."] if saved else [])]


def _cells(difference: Difference) -> tuple[str, ...]:
    """Write the difference of one metric as the cells under `HEADER`."""
    metric = difference.settings
    verdict = difference.verdict + (f", worse than its floor {metric.floor:g}" if difference.under_floor else "")
    write = partial(metric_texts.value, metric=difference.metric, digits=4)
    before, after = ("" if value is None else write(value) for value in (difference.before, difference.after))
    if difference.interval is None or difference.before is None or difference.after is None:
        return difference.metric, before, after, "", "", verdict
    low, high = difference.interval
    tolerance = f" (tolerance {metric.tolerance:g})" if metric.tolerance else ""
    change, low_end, high_end = (write(value, sign="+") for value in (difference.after - difference.before, low, high))
    return difference.metric, before, after, change, f"{low_end} to {high_end}", verdict + tolerance


def _row_counts(comparison: Comparison, before: Evaluation, after: Evaluation) -> str:
    """Name the models that were compared and count the rows."""
    models = after.predictions.model
    if before.predictions.model != models:
        models = f"{before.predictions.model} before, {models} now"
    counts = f"{comparison.new:,} new, {comparison.lost:,} lost, {comparison.relabelled:,} with another label"
    first, last = before.predictions, after.predictions
    kinds = "" if first.noun == last.noun else f" ({first.noun}s before, {last.noun}s now)"
    divided = "; of cross-validated rows, the first division counts, and metrics.json has the mean of all"
    rows = f"{counted(comparison.common, comparison.noun)} in common{kinds}"
    return f"{models}; {rows}, {counts}{divided if first.folds or last.folds else ''}"


def _changed_settings(before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield (setting, before, after) for all that differ, but for sections that change no model."""
    for section in sorted({*before, *after} - {"gate", "compare", "runtime"}, key=str):
        old, new = (settings.get(section) or {} for settings in (before, after))
        if not (isinstance(old, dict) and isinstance(new, dict)):
            continue
        for key in sorted({*old, *new}, key=str):
            if old.get(key) != new.get(key):
                yield f"{section}.{key}", str(old.get(key)), str(new.get(key))


def _models(details: dict[str, Any], names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield a row for every model in details.json: these metrics, with their intervals if they have any."""
    for name in ("head", "finetuned", "baseline"):
        if values := details.get(name):
            ends = details.get(f"{name}_ci95", {})
            cells = (
                metric_texts.with_interval(values[key], ends.get(key), key) if key in values else "" for key in names
            )
            yield name, *cells


def _code(name: str) -> str:
    """Write the name of a setting as code; one that params.yaml of this version cannot have, as text."""
    return f"`{name}`" if re.fullmatch(r"[\w.]+", name, re.ASCII) else escaped(name)


def main() -> int:
    args = cli.arguments(
        __doc__,
        options={
            "--markdown": {"type": Path, "metavar": "FILE", "help": "also write it as Markdown, for a pull request"},
            "--allow-missing-baseline": {"action": "store_true", "help": "pass where BASE never had one"},
            "--evaluation": {"type": Path, "default": Path("data/evaluation"), "help": "(default: %(default)s)"},
        },
        base="git revision, or a folder that evaluate wrote",
    )
    return gate(
        base=str(args.base),
        folder=args.evaluation,
        settings=params.load(args.params).gate,
        settings_file=args.params,
        page=args.markdown,
        allow_missing_baseline=args.allow_missing_baseline,
    )


if __name__ == "__main__":
    cli.run(main)
