"""Evaluate: how good head and fine-tuned model are on the test rows, how sure that is, and what transfer was worth.

    python -m stages.evaluate data/prepared data/features data/head data/finetuned data/evaluation

Reads `budget`, `evaluate` and `runtime` from params.yaml. Writes metrics.json, predictions.parquet (every probability
of every test row), near_duplicates.parquet, label_errors.parquet, plots/ (data that `dvc plots show` draws) and
report.html, one file that needs nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import softmax

from stages.common import atomic, cli, params, run_stats
from stages.common.errors import HeadstartError
from stages.common.params import BudgetParams, EvaluateParams, RuntimeParams
from stages.evaluation import (
    cached_results,
    label_errors,
    labels_saved,
    learning_curve,
    near_duplicates,
    plots,
    prediction_columns,
    report,
    rounded_json,
    slices,
)
from stages.evaluation.label_errors import Suspect
from stages.evaluation.learning_curve import Curve
from stages.evaluation.near_duplicates import Pair
from stages.heads import loading, model_card
from stages.heads.model_card import ModelCard
from stages.scores import calibration, metrics
from stages.tables import features, prepared
from stages.tables.features import Features

PAIRS = (("head", "baseline"), ("finetuned", "baseline"), ("finetuned", "head"))  # whose difference is reported


@dataclass(frozen=True)
class _Test:
    """The test rows, what is known of them, and what each model says: name to (rows, labels) probabilities."""

    rows: Features
    truth: np.ndarray  # (rows,) label indices
    labels: tuple[str, ...]
    scored: dict[str, np.ndarray]


def evaluate(
    *,
    prepared_folder: Path,
    features_folder: Path,
    head: Path,
    finetuned: Path,
    target: Path,
    budget: BudgetParams,
    settings: EvaluateParams,
    runtime: RuntimeParams,
) -> None:
    """Score the test rows with the head, with the fine-tuned model if there is one, and with the baseline.

    Raises:
        HeadstartError: an input is missing or damaged, or the head was trained on features of another backbone.
    """
    trained, tuned = _models(features_folder, head, finetuned)
    rows = features.read(features_folder, "test")
    if unknown := sorted(set(rows.labels) - set(trained.labels)):
        raise HeadstartError(
            f"{features_folder / 'test'} has rows of class {unknown[0]}, which {head} does not know; run `dvc repro`"
        )
    train = features.read(features_folder, "train", budget)
    if set(train.labels) != set(trained.labels):
        raise HeadstartError(
            f"{head} was trained on other classes than {features_folder / 'train'} has; run `dvc repro`"
        )
    curves, in_training = _of_any_head(prepared_folder, train, rows, settings)
    scored = {"head": loading.load(head, trained, rows.X.shape[1])(rows.X)}
    if tuned:
        scored["finetuned"] = _finetuned(prepared_folder, finetuned, tuned, rows.ids, runtime)
    if "baseline" in curves:
        scored["baseline"] = curves["baseline"].P
    truth = np.array([trained.labels.index(label) for label in rows.labels])
    test = _Test(rows, truth, trained.labels, scored)
    pairs = near_duplicates.find(train.X, rows.X, settings.near_duplicates)
    suspects = {
        "train": in_training,
        "test": label_errors.find(truth, scored["head"]),
    }

    content = _metrics(test, settings)
    for name, described in {"head": trained, "finetuned": tuned}.items():
        if described:
            P = softmax(calibration.logits(scored[name]) * described.validation_temperature, axis=1)
            content[name]["calibration_error_before"] = metrics.calibration_error(truth, P)
    if tuned:
        content["finetuned_kept_epoch"] = tuned.training["kept_epoch"]  # 0: no epoch was better than the head
    content["labels_saved"] = labels_saved.labels_saved(curves)
    content["near_duplicates"] = _without(test, pairs)
    content["label_errors"] = {split: len(found) for split, found in suspects.items()}
    slice_of = slices.names(prepared_folder, rows.ids)
    points = {name: plots.from_model(truth, P, trained.labels) for name, P in scored.items()}
    for name, P in scored.items():
        points[name]["slices"] = slices.metrics_of(slice_of, truth, P, settings)
    drawn = {name: plots.from_curve(curve) for name, curve in curves.items()}
    with atomic.directory(target) as out:
        plots.write(out / "plots", points, {"backbone": [], "baseline": []} | drawn)
        rounded_json.write_json(
            out / "plots" / "finetuned" / "training.json", tuned.training["epochs"] if tuned else []
        )
        pq.write_table(_predictions(test), out / "predictions.parquet", compression="zstd")
        pq.write_table(near_duplicates.table(pairs, train, rows), out / "near_duplicates.parquet", compression="zstd")
        pq.write_table(
            label_errors.table(suspects, {"train": train, "test": rows}, trained.labels),
            out / "label_errors.parquet",
            compression="zstd",
        )
        rounded_json.write_json(out / "metrics.json", content)
        report.write(
            out / report.FILE,
            prepared_folder,
            report.Content(
                head=trained,
                finetuned=tuned,
                train=train,
                test=rows,
                truth=truth,
                scored=scored,
                metrics=content,
                plots=points,
                curves=drawn,
                pairs=pairs,
                suspects=suspects,
                baseline=learning_curve.BASELINES[trained.modality],
                settings={"budget": budget.model_dump(), "evaluate": settings.model_dump()},
            ),
        )
    _print(content, scored, curves)


def _models(features_folder: Path, head: Path, finetuned: Path) -> tuple[ModelCard, ModelCard | None]:
    """What head and fine-tuned model are; None where fine-tuning was not asked for."""
    trained, tuned = model_card.read(head), model_card.read(finetuned)
    if trained is None:
        raise HeadstartError(f"{head / model_card.FILE} describes no head; run `dvc repro train_head`")
    if trained.fingerprint != features.read_metadata(features_folder / "test").fingerprint:
        raise HeadstartError(
            f"{head} was trained on features of another backbone than {features_folder} holds;"
            f" run `dvc repro train_head`"
        )
    if tuned and tuned.labels != trained.labels:
        raise HeadstartError(f"{finetuned} and {head} have different labels; run `dvc repro finetune`")
    return trained, tuned


def _of_any_head(
    prepared_folder: Path, train: Features, test: Features, settings: EvaluateParams
) -> tuple[dict[str, Curve], list[Suspect]]:
    """Learning curves, and training rows that are likely labelled wrongly: the same whatever the head is."""

    def compute() -> cached_results.Arrays:
        curves = learning_curve.both_curves(prepared_folder, train, test, settings)
        found = label_errors.in_training(train, curves["backbone"].C)
        arrays = [curve.arrays(name) for name, curve in curves.items()]
        return {"suspects": label_errors.to_array(found)} | {key: each for part in arrays for key, each in part.items()}

    kept = cached_results.result(train, test, settings.model_dump(), compute)
    names = [name for name in ("backbone", "baseline") if f"{name}.C" in kept]
    return {name: Curve.from_arrays(name, kept) for name in names}, label_errors.from_array(kept["suspects"])


def _finetuned(
    prepared_folder: Path, folder: Path, tuned: ModelCard, ids: np.ndarray, runtime: RuntimeParams
) -> np.ndarray:
    """Probabilities of the fine-tuned model for the rows `ids`, joined by id: (rows, labels)."""
    from stages.finetuning import classifier

    loaded = classifier.load(folder, tuned, runtime)
    return np.stack(prepared.map_by_id(prepared_folder, "test", tuned.modality, ids.tolist(), loaded.probabilities))


def _metrics(test: _Test, settings: EvaluateParams) -> dict[str, Any]:
    """Headline metrics of each model and of their differences, all with intervals from the same resamples."""
    truth, scored = test.truth, test.scored
    resampled = metrics.bootstrap(truth, scored, resamples=settings.bootstrap, seed=settings.seed)
    content: dict[str, Any] = {"test_rows": len(truth), "classes": len(test.labels)}

    def add_intervals(name: str, values: Mapping[str, np.ndarray]) -> None:
        if found := metrics.intervals(values):
            content[f"{name}_ci95"] = {each: {"low": low, "high": high} for each, (low, high) in found.items()}

    for name, P in scored.items():
        content[name] = metrics.headline(truth, P) | {"calibration_error": metrics.calibration_error(truth, P)}
        add_intervals(name, resampled[name])
    for name, other in PAIRS:
        if name in scored and other in scored:
            shared = [each for each in content[name] if each in content[other] and each != "calibration_error"]
            difference = {each: content[name][each] - content[other][each] for each in shared}
            p_value = metrics.mcnemar(truth, scored[name], scored[other])
            content[f"{name}_minus_{other}"] = difference | {"p_value": p_value}
            values = {each: resampled[name][each] - resampled[other][each] for each in resampled[name]}
            add_intervals(f"{name}_minus_{other}", values)
    return content


def _without(test: _Test, pairs: list[Pair]) -> dict[str, Any]:
    """How many test rows are near a training row, and the headline metrics without them."""
    kept = np.ones(len(test.truth), dtype=bool)
    kept[[pair.test for pair in pairs]] = False
    content: dict[str, Any] = {"test_rows": len(pairs)}
    if pairs and kept.any():
        for name, P in test.scored.items():
            content[f"{name}_without"] = metrics.headline(test.truth[kept], P[kept])
    return content


def _predictions(test: _Test) -> pa.Table:
    """One row for each model and test row."""
    return pa.concat_tables(
        pa.table(
            {
                "model": pa.array([name] * len(P), pa.string()),
                "id": pa.array(test.rows.ids, pa.string()),
                "label": pa.array(test.rows.labels, pa.string()),
                **prediction_columns.columns(P, test.labels),
            }
        )
        for name, P in test.scored.items()
    ).combine_chunks()


def _print(content: Mapping[str, Any], scored: Mapping[str, np.ndarray], curves: Mapping[str, Curve]) -> None:
    for name in scored:
        ends = content.get(f"{name}_ci95", {}).get("accuracy")
        interval = f" (95 % interval {ends['low']:.3f} to {ends['high']:.3f})" if ends else ""
        found = content[name]
        print(f"evaluate: {name} accuracy {found['accuracy']:.3f}{interval}, macro F1 {found['macro_f1']:.3f}")
    for name, other in PAIRS:
        if difference := content.get(f"{name}_minus_{other}"):
            ends = content.get(f"{name}_minus_{other}_ci95", {}).get("accuracy")
            interval = f" (95 % interval {ends['low']:+.3f} to {ends['high']:+.3f})" if ends else ""
            print(
                f"evaluate: {name} - {other}: accuracy {difference['accuracy']:+.3f}{interval},"
                f" p = {difference['p_value']:.2g}"
            )
    if saved := labels_saved.sentence(content["labels_saved"]):
        print(f"evaluate: {saved}")
    near, suspects = content["near_duplicates"]["test_rows"], content["label_errors"]
    print(
        f"evaluate: {content['test_rows']:,} test rows, {near:,} of them near a training row; likely label errors:"
        f" {suspects['train']:,} in train, {suspects['test']:,} in test; in {run_stats.spent()}"
    )


def main() -> None:
    args = cli.arguments(
        __doc__,
        prepared="folder that prepare wrote",
        features="folder that extract wrote",
        head="folder that train_head wrote",
        finetuned="folder that finetune wrote",
        evaluation="folder to write",
    )
    settings = params.load(args.params)
    evaluate(
        prepared_folder=args.prepared,
        features_folder=args.features,
        head=args.head,
        finetuned=args.finetuned,
        target=args.evaluation,
        budget=settings.budget,
        settings=settings.evaluate,
        runtime=settings.runtime,
    )


if __name__ == "__main__":
    cli.run(main)
