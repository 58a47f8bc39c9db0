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

from stages.common import atomic, cli, params, run_stats
from stages.common.params import BudgetParams, TrainHeadParams
from stages.heads import choosing, from_disk, linear_layer, loading, model_card, persistence
from stages.scores import calibration
from stages.tables import features, prepared


def train_head(*, features_folder: Path, target: Path, budget: BudgetParams, settings: TrainHeadParams) -> None:
    """Fit a head on the training rows of the feature table `features_folder`, and write it to `target`.

    Raises:
        HeadstartError: the table is missing or damaged, or a class has too few rows.
    """
    head, chosen, labels = _fit(features_folder, budget, settings)
    metadata = features.read_metadata(features_folder / "train")
    head, factor = _calibrated(head, features.read(features_folder, "validation"), budget)
    with atomic.directory(target) as out:
        persistence.save(head, out / persistence.FILE)
        if layer := linear_layer.from_head(head):
            linear_layer.write(out, *layer)
        fitted = features_folder / "train" / features.BACKBONE_FOLDER
        if fitted.exists():
            shutil.copytree(fitted, out / features.BACKBONE_FOLDER)
        model_card.write(
            out,
            model_card.ModelCard(
                method="head",
                labels=head.labels,
                temperature=head.temperature,
                validation_temperature=factor,
                chosen={"kind": settings.kind, **asdict(chosen)},
                training={"rows": len(labels), "per_class": dict(sorted(Counter(labels).items()))},
                versions=model_card.versions("numpy", "scikit-learn", "scipy", "skops"),
                **metadata.model_dump(include={"input", "modality", "max_side", "fingerprint"}),
                backbone=metadata.backbone,
                extract=metadata.extract,
            ),
        )
    print(f"train_head: {_summary(settings.kind, chosen)} on {len(labels):,} rows in {run_stats.spent()}")


def _fit(
    features_folder: Path, budget: BudgetParams, settings: TrainHeadParams
) -> tuple[choosing.Head, choosing.Chosen, np.ndarray]:
    """The head, what was chosen, and the label of each training row: (rows,)."""
    ids, labels = features.identities(features_folder, "train")
    rows = np.flatnonzero(prepared.within_budget(ids, labels, budget))
    ids, labels = ids[rows], labels[rows]
    if from_disk.is_needed(features_folder, len(rows), settings):
        return *from_disk.fit(features_folder, rows, ids, labels, settings), labels
    return *choosing.fit(features.vectors(features_folder, "train", rows), labels, settings), labels


def _calibrated(
    head: choosing.Head, validation: features.Features, budget: BudgetParams
) -> tuple[choosing.Head, float]:
    """The head with a temperature that fits the validation rows, and by which factor that changed."""
    mask, y = prepared.usable(validation.ids, validation.labels, budget, head.labels)
    if len(y) < calibration.MIN_CALIBRATION_ROWS:
        return head, 1.0
    P = head.probabilities(validation.select(mask).X)
    factor = calibration.fit_temperature(loading.logarithm(P), y)
    return replace(head, temperature=head.temperature * factor), factor


def _summary(kind: str, chosen: choosing.Chosen) -> str:
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
    train_head(features_folder=args.features, target=args.head, budget=settings.budget, settings=settings.train_head)


if __name__ == "__main__":
    cli.run(main)
