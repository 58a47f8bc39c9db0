"""Finetune: train the pretrained backbone further, starting from the trained head. Optional.

    python -m stages.finetune data/prepared data/features data/head data/finetuned

Several GPUs: `accelerate launch -m stages.finetune data/prepared …`; each step takes one batch per GPU.

Reads `budget`, `finetune` and `runtime` from params.yaml. With `method: none` it only writes a model.json that says so,
in under a second. With `preset: auto` it first chooses between the head and two ways of training, from the training and
validation rows. Otherwise it writes model.safetensors (with lora the adapter), linear.safetensors (the classifier
layer), the tokenizer or preprocessing, training/ (curves) and model.json. With `train_head.final: all` it trains a
second time, on the validation rows too. A fine-tuned model.safetensors is a valid `backbone.weights` for the next task.
"""

import hashlib
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stages import backbones
from stages.backbones import model_files
from stages.common import atomic, cli, params, presets, run_stats, targets
from stages.common.errors import HeadstartError, counted, listed
from stages.common.params import BudgetParams, FinetuneParams, Params
from stages.heads import certainty_file, linear_layer, model_card
from stages.heads.model_card import ModelCard
from stages.tables.label_info import check_single

if TYPE_CHECKING:
    from stages.finetuning.classifier import Classifier
    from stages.finetuning.outcome import Outcome
    from stages.finetuning.progress import Progress
    from stages.finetuning.rows import Rows
    from stages.heads.certainty import Certainty


CONTENT = targets.Content(
    "finetune",
    {
        model_card.FILE: lambda path: model_card.is_card(path, "none", "full", "last_block", "lora"),
        **dict.fromkeys(
            ("model.safetensors", "config.json", "recipe.json", linear_layer.FILE, *model_files.TOKENIZER_FILES)
        ),
        **dict.fromkeys(("adapter_model.safetensors", "adapter_config.json", certainty_file.FILE)),
        **dict.fromkeys(("preprocessing.json", "preprocessor_config.json", "processor_config.json")),
        "training/metrics.json": None,
        "training/plots/metrics/*/*.tsv": None,
    },
)


class Folders(NamedTuple):
    """The inputs of the stage."""

    prepared: Path
    features: Path
    head: Path


def finetune(
    *, prepared_folder: Path, features_folder: Path, head_folder: Path, target: Path, settings: Params
) -> None:
    """Fine-tune the backbone of a head on the training rows, and write it to `target`.

    Raises:
        HeadstartError: an input is missing or damaged, the backbone has no weights to train, training diverged, or
            `target` holds anything but an earlier output of this stage.
    """
    targets.check_folder(target, CONTENT, [prepared_folder, features_folder, head_folder])
    folders = Folders(prepared_folder, features_folder, head_folder)
    if settings.finetune.is_open:
        _train_best(folders, target, settings)
    elif settings.finetune.method == "none":
        _write_none(target)
        if (preset := settings.finetune.preset) != "none":
            print(f"finetune: preset {preset} had no say, since finetune.method is none; leave it empty or set another")
        if settings.finetune.unlabelled:
            print("finetune: unlabelled had no say, since finetune.method is none; set a preset or another method")
    else:
        _train(folders, target, settings, settings.finetune)


def _train_best(folders: Folders, target: Path, settings: Params) -> None:
    """Choose between the frozen head and the presets, and train with the preset that is chosen."""
    card, tuning = model_card.read_head(folders.head), settings.finetune
    if why := backbones.untrainable(card.backbone):
        reason = f"auto keeps the head: {why}"
        _write_none(target, reason=reason, record={"chosen": "none", "reason": reason})
        return
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise HeadstartError(
            "finetune.preset is auto, which chooses in one process, but there are several; run the stage without"
            " accelerate, or set the preset to few_labels or many_labels"
        )

    from stages.finetuning import checkpoints, choice  # not at the top: they import torch

    train, validation = data = _rows(folders, card, settings.budget)
    key = choice.key(tuning, settings.runtime, _identity(folders, train, validation))
    with checkpoints.folder(key) as folder:  # until the model is written, so that a killed run does not try again
        chosen = choice.choose(card, train, validation, settings, folder)
        if chosen.preset == "none":
            _write_none(target, reason=chosen.reason, record=chosen.record)
        else:
            print(f"finetune: {chosen.reason}")
            _train(folders, target, settings, tuning.with_preset(chosen.preset), data=data, auto=chosen.record)


def _train(
    folders: Folders,
    target: Path,
    settings: Params,
    tuning: FinetuneParams,
    *,
    data: "tuple[Rows, Rows] | None" = None,
    auto: Mapping[str, Any] | None = None,
) -> None:
    """Train with the settings `tuning`, and write the model.

    Args:
        data: training and validation rows, where they were read already.
        auto: why the settings were chosen, for model.json.
    """
    card = _head_card(folders.head, tuning)
    tuning = _recipe(tuning, card)

    from stages.finetuning import calibrating, checkpoints, rows  # not at the top: they import torch

    train, validation = data or _rows(folders, card, settings.budget)
    result = _fit(folders, card, (train, validation), tuning, settings)
    if not checkpoints.is_main():
        return
    if result.remark:
        print(f"finetune: {result.remark}")
    unknown = rows.read_unknown(folders.prepared, "validation", card, settings.budget)
    card, sure = calibrating.calibrate(card, result, train, validation, unknown=unknown)
    record = _training_record(result.progress, train, validation) | result.record | ({"auto": auto} if auto else {})
    _write(target, result.classifier, _tuned_card(card, tuning, record), sure, result.progress)
    print(
        f"finetune: {tuning.method}, {counted(len(train.inputs), 'row')}, {counted(result.progress.step, 'step')}"
        f" in {run_stats.spent()}, {result.progress.in_words()}"
    )


def _fit(
    folders: Folders, card: ModelCard, data: "tuple[Rows, Rows]", tuning: FinetuneParams, settings: Params
) -> "Outcome":
    """Train on the training rows, and where the settings say so on unlabelled rows or on the validation rows as well.

    Args:
        card: of the head.
        data: training and validation rows.
    """
    from stages.finetuning import all_rows, loop, progress, rows, starts  # not at the top: they import torch
    from stages.finetuning import classifier as classifiers
    from stages.finetuning.outcome import Outcome

    train, validation = data

    def start(*splits: str) -> "Classifier":
        head = starts.from_head(folders.head, card, folders.features, settings.budget, splits)
        return classifiers.starting(*head, tuning, settings.runtime)

    def validate(classifier: "Classifier") -> progress.Validation | None:
        return progress.validation(classifier, validation)

    classifier = start("train")
    classifier.rehearse(train.inputs, tuning.method)
    inputs, y = train.inputs, train.y
    if tuning.label_names:
        inputs, y = rows.with_label_names(inputs, y, card.labels, combine=card.extract.combine)
    task = loop.Task(
        inputs,
        y,
        tuning,
        settings.runtime,
        from_random=card.trained_backbone().weights == "random",
        identity=_identity(folders, train, validation),
    )
    if tuning.unlabelled:
        from stages.finetuning import self_training  # imports scikit-learn

        source = self_training.Data(folders.prepared, folders.features, card, settings.budget)
        return self_training.train(classifier, task, partial(start, "train"), validate, source)
    if all_rows.is_wanted(card, tuning, validation):
        return all_rows.fit(classifier, task, partial(start, "train", "validation"), validate, data)
    return Outcome(classifier, classifier, loop.train(classifier, task, partial(validate, classifier)), {})


def _write_none(
    target: Path, *, reason: str = "method none, nothing to train", record: Mapping[str, Any] | None = None
) -> None:
    with atomic.directory(target, CONTENT) as folder:
        model_card.write(folder, None, auto=record)
    print(f"finetune: {reason}, in {run_stats.spent()}")


def _head_card(head_folder: Path, settings: FinetuneParams) -> ModelCard:
    """Read the head's model.json, and check that its backbone can be trained with these settings."""
    card = model_card.read_head(head_folder)
    if settings.unlabelled:
        check_single(card, "learning from unlabelled rows", instead="set finetune.unlabelled to null")
    if why := backbones.untrainable(card.backbone):
        raise HeadstartError(
            f"finetune.method is {settings.method}, but {why}; set finetune.method to none, or backbone to one alone,"
            f" of family {' or '.join(backbones.TRAINABLE)}"
        )
    return card


def _recipe(settings: FinetuneParams, card: ModelCard) -> FinetuneParams:
    """Return the settings that mean something for the head's rows, and print those of a preset, and the others."""
    from stages.finetuning import auto_values

    if settings.label_names and card.modality != "text" and settings.preset == "none":
        raise HeadstartError("finetune.label_names is true, but the inputs are images, not texts; set it to false")
    recipe, applicable = auto_values.recipe(settings, card), auto_values.applicable(settings, card)
    if settings.preset != "none":
        values = (f"{name} {getattr(recipe, name)}" for name in presets.VALUES[settings.preset])
        print(f"finetune: preset {settings.preset}: {', '.join(values)}")
    ignored = [name for name, value in applicable.recipe().items() if value != settings.recipe()[name]]
    if ignored and not card.as_task().has_classes:
        print(f"finetune: {listed(ignored)} had no say, since numbers have no classes")
    return recipe


def _rows(folders: Folders, card: ModelCard, budget: BudgetParams) -> "tuple[Rows, Rows]":
    """Read the training and the validation rows within the budget."""
    from stages.finetuning import rows

    train, validation = (rows.read(folders.prepared, split, card, budget) for split in ("train", "validation"))
    return train, validation


def _identity(folders: Folders, train: "Rows", validation: "Rows") -> str:
    """Name all that decides the result of a training beside its settings."""
    head = hashlib.sha256((folders.head / model_card.FILE).read_bytes()).hexdigest()
    return f"{train.digest} {validation.digest} {head} {_versions()}"


def _versions() -> dict[str, str]:
    return model_card.versions("accelerate", "peft", "torch", "transformers")


def _training_record(progress: "Progress", train: "Rows", validation: "Rows") -> dict[str, Any]:
    return {
        "rows": len(train.inputs),
        "validation_rows": len(validation.inputs),
        "steps": progress.step,
        "start": progress.start,
        "epochs": progress.history,
        "kept_epoch": progress.kept,
    }


def _tuned_card(card: ModelCard, settings: FinetuneParams, training: dict[str, Any]) -> ModelCard:
    """Return the model.json of the fine-tuned model; `card`: that of the head, with the calibration of the model."""
    return card.model_copy(
        update={
            "method": settings.method,
            "chosen": settings.recipe(),
            "training": training,
            "versions": _versions(),
        }
    )


def _write(target: Path, classifier: "Classifier", card: ModelCard, sure: "Certainty", progress: "Progress") -> None:
    from stages.finetuning import curves

    with atomic.directory(target, CONTENT) as folder:
        classifier.save(folder, method=card.method)
        certainty_file.write(folder, sure)
        model_card.write(folder, card)
        curves.write(folder / curves.FOLDER, progress.history)


def main() -> None:
    args = cli.arguments(
        __doc__,
        prepared="folder that prepare wrote",
        features="folder that extract wrote",
        head="folder that train_head wrote",
        finetuned="folder to write",
    )
    finetune(
        prepared_folder=args.prepared,
        features_folder=args.features,
        head_folder=args.head,
        target=args.finetuned,
        settings=params.load(args.params),
    )


if __name__ == "__main__":
    cli.run(main)
