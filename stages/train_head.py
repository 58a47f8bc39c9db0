"""Train head: fit the best scikit-learn classifier on the features. It imports no torch, so a change costs seconds.

    python -m stages.train_head data/features data/head

Reads `budget` and `train_head` from params.yaml. Writes head.skops, linear.safetensors for a linear head, and
model.json with all else that predict needs: labels, backbone and fingerprint, chosen hyper-parameters, versions.
The validation rows only calibrate the head, by one temperature; predicted labels do not depend on them. A logistic head
on more than 200,000 rows reads them from disk in blocks as it trains.
"""

import shutil
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from stages.common import atomic, cli, params, run_stats, targets
from stages.common.errors import counted, listed
from stages.common.params import BudgetParams, TrainHeadParams
from stages.heads import choosing, from_disk, linear_layer, model_card, persistence
from stages.heads.choosing import Chosen
from stages.heads.head import Head
from stages.scores import calibration
from stages.tables import features, prepared
from stages.tables.features import Features

CONTENT = targets.Content(
    "train_head",
    {
        model_card.FILE: lambda path: model_card.is_card(path, "head"),
        persistence.FILE: None,
        linear_layer.FILE: None,
        **dict.fromkeys(features.BACKBONE_FILES),
    },
)


def train_head(*, features_folder: Path, target: Path, budget: BudgetParams, settings: TrainHeadParams) -> None:
    """Fit a head on the training rows of the feature table `features_folder` and write it to the folder `target`.

    Raises:
        HeadstartError: the table is missing or damaged, or `target` holds anything but an earlier head.
    """
    targets.check_folder(target, CONTENT, [features_folder])
    head, chosen, labels = _fit(features_folder, budget, settings)
    metadata = features.read_metadata(features_folder / "train")
    head, factor = _calibrate(head, features.read(features_folder, "validation"), budget)
    with atomic.directory(target, CONTENT) as out:
        persistence.save(head, out / persistence.FILE)
        if layer := linear_layer.from_head(head):
            linear_layer.write(out, *layer)
        backbone = features_folder / "train" / features.BACKBONE_FOLDER
        if backbone.exists():
            shutil.copytree(backbone, out / features.BACKBONE_FOLDER)
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
                **metadata.model_dump(
                    include={"input", "modality", "encoding", "sheet", "max_side", "max_pixels", "fingerprint"}
                ),
                backbone=metadata.backbone,
                extract=metadata.extract,
            ),
        )
    print(f"train_head: {_summary(settings.kind, chosen)} on {counted(len(labels), 'row')} in {run_stats.spent()}")
    if remark := _remark(chosen, labels):
        print(f"train_head: {remark}")


def _fit(features_folder: Path, budget: BudgetParams, settings: TrainHeadParams) -> tuple[Head, Chosen, np.ndarray]:
    """Fit a head on the training rows within the budget; give their labels, (rows,), beside it."""
    ids, labels = features.identities(features_folder, "train")
    rows = np.flatnonzero(prepared.within_budget(ids, labels, budget))
    ids, labels = ids[rows], labels[rows]
    if from_disk.is_needed(features_folder, len(rows), settings):
        return *from_disk.fit(features_folder, rows, ids, labels, settings), labels
    groups = features.groups(features_folder, "train")
    X = features.vectors(features_folder, "train", rows)
    return *choosing.fit(X, labels, settings, None if groups is None else groups[rows]), labels


def _calibrate(head: Head, validation: Features, budget: BudgetParams) -> tuple[Head, float]:
    """Fit the temperature to the validation rows; give the new head and the factor of its temperature."""
    mask, y = prepared.usable_rows(validation.ids, validation.labels, budget, head.labels)
    if len(y) < calibration.MIN_CALIBRATION_ROWS:
        return head, 1.0
    P = head.probabilities(validation.select(mask).X)
    factor = calibration.fit_temperature(calibration.logits(P), y)
    return replace(head, temperature=head.temperature * factor), factor


def _summary(kind: str, chosen: Chosen) -> str:
    """Say which value was chosen, and how good it was in the cross-validation."""
    text = f"{kind}, {chosen.parameter} = {chosen.value:g}"
    if not chosen.log_losses:
        return text
    best = chosen.candidates.index(chosen.value)
    return (
        f"{text} of {', '.join(f'{value:g}' for value in chosen.candidates)} by {chosen.folds}-fold cross-validation"
        f" (accuracy {chosen.accuracies[best]:.3f}, log loss {chosen.log_losses[best]:.3f})"
    )


def _remark(chosen: Chosen, labels: np.ndarray) -> str | None:
    """Say which classes were too small for the cross-validation, if that was to choose among candidates."""
    single = [label for label, rows in sorted(Counter(labels).items()) if rows == 1]
    if len(chosen.candidates) < 2 or not single:
        return None
    if not chosen.folds:
        return (
            f"{chosen.parameter} is {chosen.value:g} without a cross-validation, which needs two classes of two"
            " training rows"
        )
    return (
        f"{chosen.parameter} was chosen without classes of one training row, which cannot be in two folds:"
        f" {listed(single)}"
    )


def main() -> None:
    args = cli.arguments(__doc__, features="folder that extract wrote", head="folder to write")
    settings = params.load(args.params)
    train_head(features_folder=args.features, target=args.head, budget=settings.budget, settings=settings.train_head)


if __name__ == "__main__":
    cli.run(main)
