"""Train head: fit the best scikit-learn classifier on the features. It imports no torch, so a change costs seconds.

    python -m stages.train_head data/features data/head

Reads `budget` and `train_head` from params.yaml. Writes head.skops, linear.safetensors for a linear head, and
model.json with all else that predict needs: labels, backbone and fingerprint, chosen hyper-parameters, versions.
The validation rows only calibrate the head, by one temperature; predicted labels do not depend on them. With
`train_head.final: all` the head is fitted on them too, and calibrated on out-of-fold scores. With
`train_head.unlabelled: propagate` it also learns from unlabelled rows, if out-of-fold rows say that this is better. A
logistic head on more than 200,000 rows reads them from disk in blocks as it trains.
"""

import math
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stages.common import atomic, cli, hidden_modules, params, run_stats, targets
from stages.common.errors import HeadstartError, counted, listed
from stages.common.params import BudgetParams, TrainHeadParams
from stages.scores import calibration
from stages.tables import features, label_texts, prepared, shards

with hidden_modules.without("pandas"):  # scikit-learn would import it, 1 processor second, to know a table by
    from stages.heads import (
        certainty,
        certainty_file,
        choosing,
        folds,
        from_disk,
        held_out,
        linear_layer,
        model_card,
        persistence,
        training,
    )
    from stages.heads.certainty import Certainty
    from stages.heads.choosing import Chosen
    from stages.heads.numbers import ChosenNumber, NumberHead
    from stages.heads.one_vs_rest import ChosenByLabel
    from stages.heads.one_vs_rest_head import OneVsRest
    from stages.heads.propagation import Trial

CONTENT = targets.Content(
    "train_head",
    {
        model_card.FILE: lambda path: model_card.is_card(path, "head"),
        persistence.FILE: None,
        linear_layer.FILE: None,
        certainty_file.FILE: None,
        **dict.fromkeys(features.BACKBONE_FILES),
    },
)


def train_head(*, features_folder: Path, target: Path, budget: BudgetParams, settings: TrainHeadParams) -> None:
    """Fit a head on the training rows of the feature table `features_folder` and write it to the folder `target`.

    Raises:
        HeadstartError: the table is missing or damaged, or `target` holds anything but an earlier head.
    """
    targets.check_folder(target, CONTENT, [features_folder])
    metadata = features.read_metadata(features_folder / "train")
    training.check_settings(settings, metadata.task)
    fitted = _fit(features_folder, budget, settings)
    head, chosen, labels = fitted.head, fitted.chosen, fitted.labels
    kind = "ridge" if isinstance(head, NumberHead) else settings.kind
    with atomic.directory(target, CONTENT) as out:
        persistence.save(head, out / persistence.FILE)
        if layer := head.layer():
            linear_layer.write(out, *layer)
        certainty_file.write(out, fitted.certainty)
        backbone = features_folder / "train" / features.BACKBONE_FOLDER
        if backbone.exists():
            shutil.copytree(backbone, out / features.BACKBONE_FOLDER)
        model_card.write(
            out,
            model_card.ModelCard(
                method="head",
                labels=head.labels,
                **_calibration(head, fitted.factor),
                chosen={"kind": kind, **asdict(chosen)},
                training={"rows": len(labels)}
                | ({"per_class": dict(label_texts.counts(labels, metadata.task))} if head.task.has_classes else {})
                | ({model_card.SPLITS: ["train", "validation"]} if settings.final == "all" else {})
                | ({"unlabelled": fitted.trial._asdict()} if fitted.trial else {}),
                versions=model_card.versions("numpy", "scikit-learn", "scipy", "skops"),
                **metadata.model_dump(
                    include={
                        "input",
                        "modality",
                        "encoding",
                        "sheet",
                        "max_side",
                        "max_pixels",
                        "fingerprint",
                        "task",
                        "order",
                    }
                ),
                backbone=metadata.backbone,
                extract=metadata.extract,
            ),
        )
    print(f"train_head: {_summary(kind, fitted)} on {counted(len(labels), 'row')} in {run_stats.spent()}")
    remarks = (
        _exclusive(head),
        _kind_remark(settings, kind),
        _remark(fitted),
        _learned(features_folder, fitted, settings),
        fitted.unknown.remark(fitted.certainty.held_out),
    )
    for remark in filter(None, remarks):
        print(f"train_head: {remark}")


class _Fitted(NamedTuple):
    """A head, and the training rows that it was fitted on."""

    head: training.AnyHead
    chosen: Chosen
    factor: float | tuple[float, ...]  # of the temperature, from validation rows; one for every label of several
    labels: np.ndarray  # (rows,)
    groups: np.ndarray | None  # (rows,), where all rows fit into memory
    certainty: Certainty
    unknown: held_out.Unknown
    trial: Trial | None = None  # of learning from unlabelled rows


def _calibration(head: training.AnyHead, factor: float | tuple[float, ...]) -> dict[str, Any]:
    """Return what model.json says of the head's temperatures and thresholds, or of the scale of its numbers.

    Args:
        factor: of the temperature, from validation rows.
    """
    if isinstance(head, NumberHead):
        scale = model_card.Numbers(mean=head.task.mean, scale=head.task.scale)
        return {"temperature": 1.0, "validation_temperature": 1.0, "numbers": scale}
    if isinstance(head, OneVsRest):
        return {
            "temperature": 1.0,
            "validation_temperature": 1.0,
            "decisions": model_card.Decisions(
                temperatures=head.temperatures,
                validation_temperatures=factor,
                thresholds=head.thresholds,
                exclusive=head.exclusive,
            ),
        }
    return {"temperature": head.temperature, "validation_temperature": factor}


def _fit(features_folder: Path, budget: BudgetParams, settings: TrainHeadParams) -> _Fitted:
    """Fit a head on the rows within the budget, and calibrate it.

    Raises:
        HeadstartError: there are fewer than two classes, or the head is to be fitted on more rows than memory holds,
            of two splits.
    """
    ids, labels = features.identities(features_folder, "train")
    task = features.read_metadata(features_folder / "train").task
    rows = np.flatnonzero(prepared.within_budget(ids, labels, budget, task))
    ids, labels = ids[rows], labels[rows]
    training.check_classes(labels, features_folder / "train", task)
    validation = features.read(features_folder, "validation", budget)
    unknown = held_out.Unknown(
        *(features.read_unknown(features_folder, split, budget) for split in ("train", "validation"))
    )
    is_single = task == "single"
    if is_single and settings.final == "train" and from_disk.is_needed(features_folder, len(rows), settings):
        start, chosen = from_disk.fit(features_folder, rows, ids, labels, settings)
        head, factor = training.calibrated(start, validation)
        judged = held_out.from_validation(head, validation, unknown)
        sure = Certainty(judged, from_disk.known_rows(features_folder, rows))
        return _Fitted(head, chosen, factor, labels, None, sure, unknown)
    if settings.final == "all" and from_disk.is_needed(features_folder, len(rows) + len(validation.ids), settings):
        raise HeadstartError(
            f"train_head.final is all, but {features_folder} has more than {choosing.MAX_FIT_ROWS:,} labelled rows,"
            " which are fitted from disk; set it to train: with so many rows, those of validation add nothing"
        )
    train = features.read(features_folder, "train", budget)
    fitted = training.fit(train, validation, settings, training.unlabelled_rows(features_folder, settings))
    if settings.final == "all":
        train = features.joined({"train": train, "validation": validation})
    judged = held_out.best(fitted.head, fitted.chosen.value, train, validation, settings, unknown=unknown)
    sure = Certainty(judged, certainty.known_rows(train.X))
    return _Fitted(fitted.head, fitted.chosen, fitted.factor, train.labels, train.groups, sure, unknown, fitted.trial)


def _summary(kind: str, fitted: _Fitted) -> str:
    """Say which value was chosen, and how good it was in the cross-validation."""
    head, chosen = fitted.head, fitted.chosen
    text, best = f"{kind}, {chosen.parameter} = {chosen.value:g}", chosen.candidates.index(chosen.value)
    if isinstance(head, NumberHead) and isinstance(chosen, ChosenNumber) and chosen.squared_errors:
        quality = f"root mean squared error {head.task.scale * math.sqrt(chosen.squared_errors[best]):.4g}"
    elif chosen.log_losses:
        right = "decisions right" if isinstance(chosen, ChosenByLabel) and chosen.has_labels_alone else "accuracy"
        quality = f"{right} {chosen.accuracies[best]:.3f}, log loss {chosen.log_losses[best]:.3f}"
    else:
        return text
    return (
        f"{text} of {', '.join(f'{value:g}' for value in chosen.candidates)} by {chosen.folds}-fold cross-validation"
        f" ({quality})"
    )


def _kind_remark(settings: TrainHeadParams, kind: str) -> str | None:
    """Say that the head is of another kind than the settings name, if it is."""
    return None if kind == settings.kind else f"of numbers, train_head.kind {settings.kind} is {kind} regression"


def _remark(fitted: _Fitted) -> str | None:
    """Say which classes were too small for the cross-validation, if that was to choose among candidates."""
    if isinstance(fitted.head, OneVsRest):
        return _rare_labels(fitted)
    if isinstance(fitted.head, NumberHead):
        is_blind = len(fitted.chosen.candidates) > 1 and not fitted.chosen.folds
        return f"C is {fitted.chosen.value:g} without a cross-validation, as rows are too few" if is_blind else None
    chosen, one = fitted.chosen, "row" if fitted.groups is None else "group"
    names, y = np.unique(fitted.labels.astype(str), return_inverse=True)
    single = names[folds.units(y, fitted.groups) == 1].tolist()
    if len(chosen.candidates) < 2 or not single:
        return None
    if not chosen.folds:
        return (
            f"{chosen.parameter} is {chosen.value:g} without a cross-validation, which needs two classes of two"
            f" training {one}s"
        )
    return (
        f"{chosen.parameter} was chosen without classes of one training {one}, which cannot be in two folds:"
        f" {listed(single)}"
    )


def _exclusive(head: training.AnyHead) -> str | None:
    """Say of which labels every row has exactly one, so that every prediction has one too."""
    if not isinstance(head, OneVsRest) or not head.exclusive:
        return None
    sets = "; one of ".join(listed(names, 8) for names in head.exclusive)
    return f"every training row has exactly one of {sets}; so has every prediction, unless train_head.threshold is set"


def _rare_labels(fitted: _Fitted) -> str | None:
    """Say which labels have too few rows to choose a threshold by."""
    counts = label_texts.counts(fitted.labels, "multilabel")
    assert isinstance(fitted.head, OneVsRest)
    without = {label for labels in fitted.head.exclusive for label in labels}
    rare = [label for label, count in counts.items() if count < calibration.MIN_LABEL_ROWS and label not in without]
    if not rare or not fitted.chosen.folds:
        return None
    return f"the threshold is 0.5 for labels of fewer than {calibration.MIN_LABEL_ROWS} training rows: {listed(rare)}"


def _learned(features_folder: Path, fitted: _Fitted, settings: TrainHeadParams) -> str | None:
    """Say whether the head learned from unlabelled rows, and why, if it was to."""
    if settings.unlabelled is None:
        return None
    if (trial := fitted.trial) is None:
        rows = shards.count(features_folder / prepared.LEARNING)
        why = (
            "there are too few labelled ones to tell if that helps, or too many to need it"
            if rows
            else "there are none"
        )
        return f"nothing was learned from unlabelled rows: {why}"
    number = counted(trial.rows, "unlabelled row")
    return (
        f"{'learned from' if trial.is_used else 'learned nothing from'} {number}: out of fold, log loss is"
        f" {trial.log_loss:.3f} with them and {trial.log_loss_without:.3f} without, accuracy {trial.accuracy:.3f} and"
        f" {trial.accuracy_without:.3f}"
    )


def main() -> None:
    args = cli.arguments(__doc__, features="folder that extract wrote", head="folder to write")
    hidden_modules.use_arrow_without_pandas()
    settings = params.load(args.params)
    train_head(features_folder=args.features, target=args.head, budget=settings.budget, settings=settings.train_head)


if __name__ == "__main__":
    cli.run(main)
