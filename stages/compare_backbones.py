"""Compare the backbones of `compare.backbones` on the training rows, before one of them is chosen.

    python -m stages.compare_backbones

Every backbone gets a logistic head. Its accuracy is cross-validated on the training rows within `budget`; of several
labels per row, it is the share of rows with all of them right. No row of validation or test is read. Prints a table
with 95 % intervals, paired with the best backbone, LogME, rows per second, megabytes and dimensions, and names the
cheapest backbone within noise of the best. Writes the same to a folder: leaderboard.json, leaderboard.md, and a plot
for `dvc plots show`.

Needs data/prepared, which prepare writes. Reads `compare`, `backbone`, `extract`, `budget` and `runtime` from
params.yaml. Vectors go to and come from the row cache, so nothing is computed twice, here or by extract. A backbone
that fails is one line of the table; the exit code is 1 only if all fail.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from tqdm import tqdm

from stages import backbones
from stages.common import atomic, backbone_shorthand, cli, json_file, params, run_stats, targets
from stages.common.backbone_shorthand import members
from stages.common.errors import HeadstartError, counted
from stages.common.params import Backbones, BudgetParams, Params
from stages.comparison import leaderboard, markdown
from stages.comparison.leaderboard import Candidate
from stages.comparison.markdown import escaped
from stages.evaluation.plots import without_markup
from stages.extraction import rows, speed
from stages.heads import choosing, folds, one_vs_rest, training
from stages.heads.choosing import Chosen
from stages.scores.logme import logme
from stages.tables import feature_writer, features, label_texts, prepared, shards
from stages.tables.features import Matrix
from stages.tables.label_info import check_task

MAX_COMPARED_ROWS = 5_000  # training rows; more make the differences hardly clearer, and the heads slow
TITLE = "# Backbones\n"
PLOTS = """# Written by compare_backbones, for `dvc plots show`.
plots:
  - accuracy of backbones:
      template: bar_horizontal
      x: accuracy
      y:
        accuracy.json: backbone
"""


def _is_own(path: Path) -> bool:
    """Tell whether a file is a leaderboard.json."""
    return "backbones" in json_file.mapping(path)


CONTENT = targets.Content(
    "compare_backbones", {"leaderboard.json": _is_own, "leaderboard.md": None, "accuracy.json": None, "dvc.yaml": None}
)


@dataclass(frozen=True)
class Rows:
    """The training rows that are compared, in the order of the table."""

    info: prepared.TableInfo
    chosen: np.ndarray  # (rows of the table,) bool
    labels: np.ndarray  # (rows,) of the chosen ones
    groups: np.ndarray | None  # (rows,) of the chosen ones, as `prepared.group_names` returns them


def compare_backbones(*, prepared_folder: Path, target: Path, settings: Params) -> None:
    """Compare the backbones and write the leaderboard to the folder `target`.

    Raises:
        HeadstartError: the prepared table is missing or damaged, the training rows are too few, no backbone works, or
            `target` holds anything but an earlier leaderboard.
    """
    targets.check_folder(target, CONTENT, [prepared_folder])
    table = _training_rows(prepared_folder, settings.budget)
    specs = _named(_usable(settings, table.info.modality))
    candidates: list[Candidate] = []
    failures: list[dict[str, str]] = []
    for name, spec in specs.items():
        try:
            candidates.append(_measure(prepared_folder, table, spec, settings, name))
        except HeadstartError as error:
            failures.append({"backbone": name, "reason": str(error)})
    if not candidates:
        reasons = "; ".join(f"{failure['backbone']}: {failure['reason']}" for failure in failures)
        raise HeadstartError(f"no backbone of compare.backbones works ({reasons}); correct the list")
    entries = leaderboard.rank(candidates)
    lines = [*map(leaderboard.cells, entries), *(leaderboard.failed_cells(*failure.values()) for failure in failures)]
    content = {
        "modality": table.info.modality,
        "training_rows": len(table.labels),
        "classes": len(label_texts.counts(table.labels, table.info.task)),
        "rule": leaderboard.RULE,
        "backbones": [{**entry, "settings": _sections(specs[entry["backbone"]])} for entry in entries],
        "failed": failures,
    }
    with atomic.directory(target, CONTENT) as out:
        _write(out, content, lines)
    print("\n".join(markdown.aligned([leaderboard.HEADER, *lines])))
    print(f"compare_backbones: {leaderboard.choice(entries)}")
    print(
        f"compare_backbones: {counted(len(entries), 'backbone')} on {counted(len(table.labels), 'training row')}"
        f" -> {target / 'leaderboard.md'} in {run_stats.spent()}"
    )


def _training_rows(prepared_folder: Path, budget: BudgetParams) -> Rows:
    """Choose the training rows: those within the budget, at most about `MAX_COMPARED_ROWS`.

    They are of classes of two rows, or of two groups where there are groups.
    """
    info = prepared.read_info(prepared_folder)
    instead = "set `backbone` to one after the other, and run `dvc exp run` for each"
    check_task(info, "comparing backbones", "single", "multilabel", instead=instead)
    columns = shards.read_all(prepared_folder / "train", features.IDENTITY.append(features.GROUP))
    ids, labels = (np.array(columns[name].to_pylist(), dtype=object) for name in ("id", "label"))
    groups = prepared.group_names(ids, columns["group"].to_pylist())
    chosen = prepared.within_budget(ids, labels, budget, info.task)
    if chosen.sum() > MAX_COMPARED_ROWS:
        count = len(label_texts.counts(labels, info.task))
        smaller = BudgetParams(per_class=max(MAX_COMPARED_ROWS // count, 2), seed=budget.seed)
        chosen &= prepared.within_budget(ids, labels, smaller, info.task)
    if info.task == "multilabel":  # whose rows stay if a label is rare, since they have others
        training.check_classes(labels[chosen], prepared_folder / "train", info.task)
        return Rows(info, chosen, labels[chosen].astype(str), folds.select(groups, chosen))
    names, y = np.unique(labels[chosen].astype(str), return_inverse=True)
    counts = folds.units(y, folds.select(groups, chosen))
    if (counts > 1).sum() < 2:
        raise HeadstartError(
            f"{prepared_folder / 'train'} has fewer than two classes of two training rows"
            f"{'' if groups is None else ' in two groups'}, which a cross-validation needs; label more rows, or raise"
            " budget.per_class"
        )
    chosen &= np.isin(labels.astype(str), names[counts > 1])
    return Rows(info, chosen, labels[chosen].astype(str), folds.select(groups, chosen))


def _usable(settings: Params, modality: params.Modality) -> list[Backbones]:
    """List the backbones that encode this modality; one that is the pipeline's own gets its revision.

    Of several that are joined, one suffices: the others make them a line of the table that says why they fail.
    """
    usable = [
        spec
        for spec in settings.compare.backbones
        if any(modality in backbones.FAMILIES[member.family] for member in members(spec))
    ]
    if not usable:
        example = {"text": "tfidf:word", "image": "pixels:rgb"}[modality]
        raise HeadstartError(f"compare.backbones lists no backbone for {modality}s; add one, such as {example}")
    own = {member.model_copy(update={"revision": None}): member for member in members(settings.backbone)}
    listed = [
        tuple(own.get(member, member) for member in spec) if isinstance(spec, tuple) else own.get(spec, spec)
        for spec in usable
    ]
    return list(dict.fromkeys(listed))


def _named(specs: Sequence[Backbones]) -> dict[str, Backbones]:
    """Name backbones as tables show them; with the revisions where two differ by nothing else."""
    names = [backbone_shorthand.shortened(spec) for spec in specs]
    return {
        f"{name}@{_revisions(spec)}" if names.count(name) > 1 else name: spec
        for name, spec in zip(names, specs, strict=True)
    }


def _revisions(spec: Backbones) -> str:
    return ", ".join(member.revision or "newest" for member in members(spec))


def _sections(spec: Backbones) -> Any:
    """Write a backbone as the section `backbone` of params.yaml has it: a mapping, or a list of several."""
    sections = [member.model_dump() for member in members(spec)]
    return sections if isinstance(spec, tuple) else sections[0]


def _measure(prepared_folder: Path, table: Rows, spec: Backbones, settings: Params, name: str) -> Candidate:
    """Encode the training rows and cross-validate a head on them.

    Raises:
        HeadstartError: the backbone cannot be loaded or cannot encode the rows.
    """
    backbone = rows.load_backbone(prepared_folder, spec, settings.extract, settings.runtime, table.info.modality)
    X, sample = _vectors(prepared_folder, table, backbone, spec, settings)
    chosen: Chosen
    if table.info.task == "multilabel":
        y = label_texts.indicators(table.labels, label_texts.vocabulary(table.labels))
        right, chosen = one_vs_rest.cross_validated(X, y, table.groups)
    else:
        y = np.unique(table.labels, return_inverse=True)[1]
        right, chosen = choosing.cross_validated(X, table.labels, table.groups)
    return Candidate(
        name=name,
        right=right,
        C=chosen.value,
        logme=logme(X, y),
        rows_per_second=speed.rows_per_second(backbone, sample),
        size_bytes=backbone.size_bytes,
        dim=backbone.dim,
    )


def _vectors(
    prepared_folder: Path, table: Rows, backbone: backbones.Backbone, spec: Backbones, settings: Params
) -> tuple[Matrix, list[Any]]:
    """Get the vectors of the rows as extract stores them, (rows, dim) float32, and inputs to measure the speed on."""
    parts: list[Matrix] = []
    sample: list[Any] = []
    start = 0
    name = backbone_shorthand.titled(spec)
    with (
        rows.open_caches(backbone, spec, settings.runtime) as caches,
        tqdm(total=len(table.labels) * len(members(spec)), desc=name, unit=" vectors", disable=None) as progress,
    ):
        combine = settings.extract.combine
        for window in prepared.windows(prepared_folder, "train", table.info.modality, combine=combine):
            chosen = np.flatnonzero(table.chosen[start : start + len(window.ids)])
            start += len(window.ids)
            if not len(chosen):
                continue
            inputs = [window.inputs[row] for row in chosen]
            sample += inputs[: speed.MAX_SAMPLE_ROWS - len(sample)]
            X, _, _ = rows.encode_window(backbone, caches, inputs, progress.update)
            if isinstance(X, np.ndarray):
                with np.errstate(over="ignore"):
                    X = X.astype(settings.extract.dtype, copy=False)
            feature_writer.check_finite([window.ids[row] for row in chosen], X, name)
            parts.append(X.astype(np.float32))
    return (sparse.vstack(parts, format="csr") if backbone.is_sparse else np.concatenate(parts)), sample


def _write(folder: Path, content: dict[str, Any], lines: Sequence[Sequence[str]]) -> None:
    """Write the leaderboard as JSON, as Markdown and as a plot."""
    json_file.write(folder / "leaderboard.json", content)
    page = [TITLE, *markdown.table(leaderboard.HEADER, map(leaderboard.markdown_cells, lines))]
    page += [f"\n{escaped(leaderboard.choice(content['backbones']))}.", f"\n{leaderboard.RULE}"]
    (folder / "leaderboard.md").write_text("\n".join(page) + "\n", "utf-8", newline="\n")
    points = [{"backbone": entry["backbone"], "accuracy": entry["accuracy"]} for entry in content["backbones"]]
    json_file.write(folder / "accuracy.json", without_markup(points))
    (folder / "dvc.yaml").write_text(PLOTS, "utf-8", newline="\n")


def main() -> None:
    default = "(default: %(default)s)"
    args = cli.arguments(
        __doc__,
        options={
            "--prepared": {"type": Path, "default": Path("data/prepared"), "help": default},
            "--out": {"type": Path, "default": Path("data/leaderboard"), "help": f"folder to write {default}"},
        },
    )
    compare_backbones(prepared_folder=args.prepared, target=args.out, settings=params.load(args.params))


if __name__ == "__main__":
    cli.run(main)
