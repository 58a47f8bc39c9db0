"""Train head: features in, the best scikit-learn classifier on them out. Imports no torch: a change costs seconds.

    python -m stages.train_head data/features data/head

Reads `budget` and `train_head` from params.yaml. Writes head.skops, linear.safetensors where the head is linear, and
model.json (labels in order, backbone and its fingerprint, chosen hyper-parameters, versions: all that predict needs).
The validation rows decide nothing but how sure the head is of its predictions, by one temperature. A logistic head on
more than 200,000 rows reads them from disk as it trains, and holds but a part of them in memory.
"""

import shutil
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from stages import (
    calibration,
    cli,
    cost,
    features,
    heads,
    linear,
    model,
    out_of_core,
    outputs,
    params,
    samples,
    scoring,
)
from stages.params import BudgetParams, TrainHeadParams


def train_head(*, source: Path, target: Path, budget: BudgetParams, settings: TrainHeadParams) -> None:
    """Fit a head on the training rows of the feature table `source`, and write it to `target`.

    Raises:
        HeadstartError: the table is missing or damaged, or a class has too few rows.
    """
    head, chosen, labels = _fit(source, budget, settings)
    metadata = features.read_metadata(source / "train")
    head, factor = _calibrated(head, features.read(source, "validation"), budget)
    with outputs.directory(target) as out:
        heads.save(head, out / heads.FILE)
        if layer := heads.linear_layer(head):
            linear.write(out, *layer)
        fitted = source / "train" / features.BACKBONE_FOLDER
        if fitted.exists():
            shutil.copytree(fitted, out / features.BACKBONE_FOLDER)
        model.write(
            out,
            model.Model(
                method="head",
                labels=head.labels,
                temperature=head.temperature,
                validation_temperature=factor,
                chosen={"kind": settings.kind, **asdict(chosen)},
                training={"rows": len(labels), "per_class": dict(sorted(Counter(labels).items()))},
                versions=model.versions("numpy", "scikit-learn", "scipy", "skops"),
                **metadata.model_dump(include={"input", "modality", "max_side", "fingerprint"}),
                backbone=metadata.backbone,
                extract=metadata.extract,
            ),
        )
    print(f"train_head: {_summary(settings.kind, chosen)} on {len(labels):,} rows in {cost.spent()}")


def _fit(source: Path, budget: BudgetParams, settings: TrainHeadParams) -> tuple[heads.Head, heads.Chosen, np.ndarray]:
    """The head, what was chosen, and the label of each training row: (rows,)."""
    ids, labels = features.identities(source, "train")
    rows = np.flatnonzero(samples.within_budget(ids, labels, budget))
    ids, labels = ids[rows], labels[rows]
    if out_of_core.is_needed(source, len(rows), settings):
        return *out_of_core.fit(source, rows, ids, labels, settings), labels
    return *heads.fit(features.vectors(source, "train", rows), labels, settings), labels


def _calibrated(head: heads.Head, validation: features.Features, budget: BudgetParams) -> tuple[heads.Head, float]:
    """The head with a temperature that fits the validation rows, and by which factor that changed."""
    mask, y = samples.usable(validation.ids, validation.labels, budget, head.labels)
    if len(y) < calibration.LEAST_ROWS:
        return head, 1.0
    P = head.probabilities(validation.select(mask).X)
    factor = calibration.fit_temperature(scoring.logarithm(P), y)
    return replace(head, temperature=head.temperature * factor), factor


def _summary(kind: str, chosen: heads.Chosen) -> str:
    text = f"{kind}, {chosen.parameter} = {chosen.value:g}"
    if not chosen.log_losses:
        return text
    best: Any = chosen.candidates.index(chosen.value)
    return (
        f"{text} of {', '.join(f'{value:g}' for value in chosen.candidates)} by {chosen.folds}-fold cross-validation"
        f" (accuracy {chosen.accuracies[best]:.3f}, log loss {chosen.log_losses[best]:.3f})"
    )


def main() -> None:
    args = cli.arguments(__doc__, features="folder that extract wrote", head="folder to write")
    settings = params.load(args.params)
    train_head(source=args.features, target=args.head, budget=settings.budget, settings=settings.train_head)


if __name__ == "__main__":
    cli.run(main)
