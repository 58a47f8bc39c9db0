"""Gate: is the workspace's model worse than the baseline's, beyond chance and tolerance? For CI and for people.

    python -m stages.gate BASE [--markdown FILE] [--allow-missing-baseline]

BASE is a git revision, whose evaluation DVC reads from its cache or remote, or a folder that evaluate wrote. Judged is
the fine-tuned model, or the head where there is none, on the test rows that both have. Reads `gate` from params.yaml
and changes nothing but FILE.

Exit codes: 0 passed; 1 a metric is worse beyond its tolerance or worse than its floor, or the workspace has nothing to
judge; 2 nothing could be compared: no baseline, other classes, or no test row in common.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.common import cli, params, run_stats
from stages.common.errors import HeadstartError
from stages.common.params import GateParams
from stages.comparison import paired, stored
from stages.comparison.paired import Comparison, Difference
from stages.comparison.stored import Evaluation
from stages.evaluation import labels_saved

HEADER: tuple[str, ...] = ("metric", "before", "after", "difference", "95 % interval", "verdict")
CHANGES = 30  # settings that are listed


def gate(
    *,
    base: str,
    folder: Path,
    settings: GateParams,
    settings_file: Path,
    markdown: Path | None,
    allow_missing_baseline: bool,
) -> int:
    """Compare the evaluation in `folder` with that of `base`; print it, write `markdown`, and give the exit code.

    Raises:
        HeadstartError: the workspace has no evaluation, or one of the two is damaged.
    """
    try:
        after = stored.from_folder(folder, settings_file)
    except stored.MissingError as error:
        raise HeadstartError(f"there is nothing to judge, as {error}; run `dvc repro`") from None
    before, why = _baseline(base, folder, settings_file)
    found = paired.compare(before.scored if before else None, after.scored, settings)
    code = 0
    if not found.passed:
        code = 1
    elif found.reason and not (before is None and allow_missing_baseline):
        code = 2
    outcome = f"gate: {('passed', 'failed', 'could not compare')[code]} against {base}"
    reason = why or found.reason
    print("\n".join(_text(found, before, after)))
    print(f"{outcome}{f': {reason}' if reason else ''}, in {run_stats.spent()}")
    if markdown:
        markdown.write_text("\n".join(_markdown(found, before, after, outcome, reason)) + "\n", "utf-8")
    return code


def _baseline(base: str, folder: Path, settings_file: Path) -> tuple[Evaluation | None, str | None]:
    """The evaluation of BASE; or None, and why."""
    try:
        if Path(base).is_dir():
            return stored.from_folder(Path(base)), None
        return stored.from_revision(base, folder, settings_file), None
    except stored.MissingError as error:
        return None, str(error)


def _text(found: Comparison, before: Evaluation | None, after: Evaluation) -> Iterator[str]:
    lines = [HEADER, *map(_cells, found.differences)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
    if before:
        yield f"gate: {_rows(found, before, after)}"


def _markdown(
    found: Comparison, before: Evaluation | None, after: Evaluation, outcome: str, reason: str | None
) -> Iterator[str]:
    yield f"### {_escaped(outcome)}\n"
    if reason:
        yield f"{_escaped(reason)}\n"
    yield f"| {' | '.join(HEADER)} |"
    yield "|---" * len(HEADER) + "|"
    for each in found.differences:
        yield f"| {' | '.join(_cells(each))} |"
    if before:
        yield f"\n{_rows(found, before, after)}\n"
    if before and (changes := list(_changes(before.settings, after.settings))):
        yield "| setting | before | after |\n|---|---|---|"
        for name, old, new in changes[:CHANGES]:
            yield f"| `{name}` | {_escaped(old)} | {_escaped(new)} |"
        if len(changes) > CHANGES:
            yield f"| … | {len(changes) - CHANGES} more | |"
        yield ""
    yield "| this change | accuracy | macro F1 | calibration error |\n|---|---|---|---|"
    for name in ("head", "finetuned", "baseline"):
        if metrics := after.metrics.get(name):
            ends = after.metrics.get(f"{name}_ci95", {})
            cells = [_with_ends(metrics[metric], ends.get(metric)) for metric in ("accuracy", "macro_f1")]
            yield f"| {name} | {' | '.join(cells)} | {metrics['calibration_error']:.3f} |"
    if saved := labels_saved.sentence(after.metrics.get("labels_saved", {})):
        yield f"\n{saved.capitalize()}."


def _cells(each: Difference) -> tuple[str, ...]:
    """One line of the table."""
    verdict = each.verdict + (f", worse than its floor {each.settings.floor:g}" if each.under_floor else "")
    before, after = ("" if value is None else f"{value:.4f}" for value in (each.before, each.after))
    if each.interval is None or each.before is None or each.after is None:
        return each.metric, before, after, "", "", verdict
    low, high = each.interval
    tolerance = f" (tolerance {each.settings.tolerance:g})" if each.settings.tolerance else ""
    difference = f"{each.after - each.before:+.4f}"
    return each.metric, before, after, difference, f"{low:+.4f} to {high:+.4f}", verdict + tolerance


def _rows(found: Comparison, before: Evaluation, after: Evaluation) -> str:
    models = after.scored.model
    if before.scored.model != models:
        models = f"{before.scored.model} before, {models} now"
    counts = f"{found.new:,} new, {found.lost:,} lost, {found.relabelled:,} with another label"
    return f"{models}; {found.common:,} test rows in common, {counts}"


def _changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(setting, before, after) of each that differs. What says how to run or judge is no change of the model."""
    for section in sorted({*before, *after} - {"gate", "runtime"}):
        old, new = (each.get(section) or {} for each in (before, after))
        if not (isinstance(old, dict) and isinstance(new, dict)):
            continue
        for key in sorted({*old, *new}):
            if old.get(key) != new.get(key):
                yield f"{section}.{key}", str(old.get(key)), str(new.get(key))


def _with_ends(value: float, ends: dict[str, float] | None) -> str:
    return f"{value:.3f}" + (f" ({ends['low']:.3f} to {ends['high']:.3f})" if ends else "")


def _escaped(text: str) -> str:
    """Text for a cell of a Markdown table."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def main() -> int:
    args = cli.arguments(
        __doc__,
        options={
            "--markdown": {"type": Path, "metavar": "FILE", "help": "also write it as Markdown, for a pull request"},
            "--allow-missing-baseline": {"action": "store_true", "help": "pass where BASE has no evaluation"},
            "--evaluation": {"type": Path, "default": Path("data/evaluation"), "help": "(default: %(default)s)"},
        },
        base="git revision, or a folder that evaluate wrote",
    )
    return gate(
        base=str(args.base),
        folder=args.evaluation,
        settings=params.load(args.params).gate,
        settings_file=args.params,
        markdown=args.markdown,
        allow_missing_baseline=args.allow_missing_baseline,
    )


if __name__ == "__main__":
    cli.run(main)
