"""Evaluate: how good head and fine-tuned model are on the test rows, and how sure that is.

    python -m stages.evaluate data/prepared data/features data/head data/finetuned data/evaluation

Reads `evaluate` and `runtime` from params.yaml. Writes metrics.json, predictions.parquet (every probability of every
test row) and plots/ (data that `dvc plots show` draws).
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages import cli, features, metrics, model, outputs, params, predictions, samples, scoring
from stages.errors import HeadstartError
from stages.model import Model
from stages.params import EvaluateParams, RuntimeParams

PLOTS = ("confusion", "roc", "pr", "per_class")
DECIMALS = 4  # below the noise of any test set, and short enough to read


def evaluate(
    *,
    prepared: Path,
    source: Path,
    head: Path,
    finetuned: Path,
    target: Path,
    settings: EvaluateParams,
    runtime: RuntimeParams,
) -> None:
    """Score the test rows with the head, and with the fine-tuned model if there is one.

    Raises:
        HeadstartError: an input is missing or damaged, or the head was trained on features of another backbone.
    """
    start = time.perf_counter()
    test = features.read(source, "test")
    trained = model.read(head)
    if trained is None:
        raise HeadstartError(f"{head / model.FILE} describes no head; run `dvc repro train_head`")
    if trained.fingerprint != test.metadata.fingerprint:
        raise HeadstartError(f"{head} was trained on features of another backbone than {source} holds; run `dvc repro`")
    if unknown := sorted(set(test.labels) - set(trained.labels)):
        raise HeadstartError(
            f"{source / 'test'} has rows of class {unknown[0]}, which {head} does not know; run `dvc repro`"
        )
    truth = np.array([trained.labels.index(label) for label in test.labels])
    scored = {"head": scoring.probabilities(head, trained, test.X)}
    if (tuned := model.read(finetuned)) is not None:
        if tuned.labels != trained.labels:
            raise HeadstartError(f"{finetuned} and {head} have different labels; run `dvc repro finetune`")
        scored["finetuned"] = _finetuned(prepared, finetuned, tuned, test.ids, runtime)
    with outputs.directory(target) as out:
        report = _metrics(truth, scored, settings)
        for name, described in {"head": trained, "finetuned": tuned}.items():
            if described:
                P = scoring.softmax(scoring.logarithm(scored[name]) * described.validation_temperature)
                report[name]["calibration_error_before"] = metrics.calibration_error(truth, P)
        if tuned:
            report["finetuned_kept_epoch"] = tuned.training["kept_epoch"]  # 0: no epoch was better than the head
        _write_plots(out / "plots", truth, scored, trained.labels)
        epochs = tuned.training["epochs"] if tuned else []
        _write_json(out / "plots" / "finetuned" / "training.json", epochs)
        pq.write_table(_predictions(test, scored, trained.labels), out / "predictions.parquet", compression="zstd")
        _write_json(out / "metrics.json", report)
    for name in scored:
        low, high = report.get(f"{name}_ci95", {}).get("accuracy", {}).values() or (np.nan, np.nan)
        interval = "" if np.isnan(low) else f" (95 % interval {low:.3f} to {high:.3f})"
        found = report[name]
        print(f"evaluate: {name} accuracy {found['accuracy']:.3f}{interval}, macro F1 {found['macro_f1']:.3f}")
    print(f"evaluate: {len(truth):,} test rows in {time.perf_counter() - start:.1f} s")


def _finetuned(prepared: Path, folder: Path, tuned: Model, ids: np.ndarray, runtime: RuntimeParams) -> np.ndarray:
    """Probabilities of the fine-tuned model for the rows `ids`, joined by id: (rows, labels)."""
    from stages.backbones import classifier

    loaded = classifier.load(folder, tuned, runtime)
    found: dict[str, np.ndarray] = {}
    for window in samples.windows(prepared, "test", tuned.modality):
        found |= zip(window.ids, loaded.probabilities(window.inputs), strict=True)
    if missing := [each for each in ids if each not in found]:
        raise HeadstartError(f"{prepared / 'test'} lacks the row {missing[0]} of the feature table; run `dvc repro`")
    return np.stack([found[each] for each in ids])


def _metrics(truth: np.ndarray, scored: Mapping[str, np.ndarray], settings: EvaluateParams) -> dict[str, Any]:
    report: dict[str, Any] = {"test_rows": len(truth), "classes": next(iter(scored.values())).shape[1]}
    for name, P in scored.items():
        report[name] = metrics.headline(truth, P) | {"calibration_error": metrics.calibration_error(truth, P)}
        found = metrics.intervals(truth, P, resamples=settings.bootstrap, seed=settings.seed)
        if found:
            report[f"{name}_ci95"] = {each: {"low": low, "high": high} for each, (low, high) in found.items()}
    return report


def _predictions(test: features.Features, scored: Mapping[str, np.ndarray], labels: tuple[str, ...]) -> pa.Table:
    """One row for each model and test row."""
    return pa.concat_tables(
        pa.table(
            {
                "model": pa.array([name] * len(P), pa.string()),
                "id": pa.array(test.ids, pa.string()),
                "label": pa.array(test.labels, pa.string()),
                **predictions.columns(P, labels),
            }
        )
        for name, P in scored.items()
    ).combine_chunks()


def _write_plots(folder: Path, truth: np.ndarray, scored: Mapping[str, np.ndarray], labels: tuple[str, ...]) -> None:
    """One file for each model and plot. The fine-tuned model's are empty without one: dvc.yaml names them all."""
    for name in ("head", "finetuned"):
        plots: dict[str, list[dict[str, Any]]] = {plot: [] for plot in PLOTS}
        if (P := scored.get(name)) is not None:
            predicted = P.argmax(axis=1)
            plots["confusion"] = [
                {"actual": labels[actual], "predicted": labels[guess]}
                for actual, guess in zip(truth, predicted, strict=True)
            ]
            plots["roc"], plots["pr"] = metrics.curves(truth, P)
            plots["per_class"] = metrics.per_class(truth, P, labels)
        for plot, points in plots.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            _write_json(folder / name / f"{plot}.json", points)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(_rounded(content), indent=1, ensure_ascii=False) + "\n", "utf-8")


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    if not isinstance(value, float):
        return value
    # Small ones, such as learning rates, keep three digits.
    return round(value, DECIMALS) if abs(value) >= 0.01 else float(f"{value:.3g}")


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
        prepared=args.prepared,
        source=args.features,
        head=args.head,
        finetuned=args.finetuned,
        target=args.evaluation,
        settings=settings.evaluate,
        runtime=settings.runtime,
    )


if __name__ == "__main__":
    cli.run(main)
