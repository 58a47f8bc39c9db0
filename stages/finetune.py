"""Finetune: train the pretrained backbone further, starting from the trained head. Optional.

    python -m stages.finetune data/prepared data/features data/head data/finetuned

Several GPUs: `accelerate launch -m stages.finetune data/prepared …`; each step takes one batch per GPU.

Reads `budget`, `finetune` and `runtime` from params.yaml. With `method: none` it only writes a model.json that says so,
in under a second. Otherwise it writes model.safetensors (with lora the adapter), linear.safetensors (the classifier
layer), the tokenizer or preprocessing, training/ (curves) and model.json. A fine-tuned model.safetensors is a
valid `backbone.weights` for the next task.
"""

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stages import backbones
from stages.common import atomic, cli, params, presets, run_stats, targets
from stages.common.errors import HeadstartError, counted
from stages.common.params import BudgetParams, FinetuneParams, Params
from stages.common.presets import Preset
from stages.heads import linear_layer, model_card
from stages.heads.model_card import ModelCard

if TYPE_CHECKING:
    import numpy as np

    from stages.finetuning.classifier import Classifier
    from stages.finetuning.progress import Progress


TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"),
    *("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "spm.model", "sentencepiece.bpe.model"),
    *("tokenizer.model", "bpe.codes", "sentencepiece.model", "spm_char.model", "source.spm", "target.spm"),
    *("vocab-src.json", "vocab-tgt.json", "target_vocab.json", "entity_vocab.json", "dict.txt", "emoji.json"),
    *("byte_maps.json", "normalizer.json", "word_pronunciation.json", "word_shape.json", "prophetnet.tokenizer"),
)
CONTENT = targets.Content(
    "finetune",
    {
        model_card.FILE: lambda path: model_card.is_card(path, "none", "full", "last_block", "lora"),
        **dict.fromkeys(("model.safetensors", "config.json", "recipe.json", linear_layer.FILE, *TOKENIZER_FILES)),
        **dict.fromkeys(("adapter_model.safetensors", "adapter_config.json")),
        **dict.fromkeys(("preprocessing.json", "preprocessor_config.json", "processor_config.json")),
        "training/metrics.json": None,
        "training/plots/metrics/*/*.tsv": None,
    },
)


class Rows(NamedTuple):
    """Rows of a split: texts, pairs of texts or encoded images, (rows,) label indices, and a hash of ids and labels."""

    inputs: "list[Any]"
    y: "np.ndarray"
    digest: str


def finetune(
    *, prepared_folder: Path, features_folder: Path, head_folder: Path, target: Path, settings: Params
) -> None:
    """Fine-tune the backbone of a head on the training rows, and write it to `target`.

    Raises:
        HeadstartError: an input is missing or damaged, the backbone has no weights to train, training diverged, or
            `target` holds anything but an earlier output of this stage.
    """
    targets.check_folder(target, CONTENT, [prepared_folder, features_folder, head_folder])
    method, budget = settings.finetune.method, settings.budget
    if method == "none":
        _write_none(target, settings.finetune.preset)
        return
    card = _head_card(head_folder, method)
    recipe = _recipe(settings.finetune, card)
    train = _rows(prepared_folder, "train", card, budget)
    validation = _rows(prepared_folder, "validation", card, budget)

    from stages.finetuning import checkpoints, loop  # not at the top: they import torch

    classifier = _starting_classifier(features_folder, head_folder, card, recipe, settings)
    classifier.rehearse(train.inputs, method)
    inputs, y = _with_label_names(train, card) if recipe.label_names else (train.inputs, train.y)
    task = loop.Task(
        inputs,
        y,
        recipe,
        settings.runtime,
        from_random=card.backbone.weights == "random",
        identity=f"{train.digest} {validation.digest} {_file_hash(head_folder / model_card.FILE)} {_versions()}",
    )
    progress = loop.train(classifier, task, lambda: _validate(classifier, validation))
    if not checkpoints.is_main():
        return
    _calibrate(classifier, validation)
    training = _training_record(progress, train, validation)
    _write(target, classifier, _tuned_card(card, recipe, classifier.temperature, training), progress)
    print(
        f"finetune: {method}, {counted(len(train.inputs), 'row')}, {counted(progress.step, 'step')}"
        f" in {run_stats.spent()}, {_outcome(progress)}"
    )


def _write_none(target: Path, preset: Preset) -> None:
    with atomic.directory(target, CONTENT) as folder:
        model_card.write(folder, None)
    print(f"finetune: method none, nothing to train, in {run_stats.spent()}")
    if preset != "none":
        print(f"finetune: preset {preset} had no say, since finetune.method is none; leave it empty, or set another")


def _head_card(head_folder: Path, method: str) -> ModelCard:
    """Read the head's model.json, and check that its backbone can be trained."""
    card = model_card.read_head(head_folder)
    if card.backbone.family not in backbones.TRAINABLE:
        raise HeadstartError(
            f"finetune.method is {method}, but backbone.family {card.backbone.family} has no weights to train; set"
            f" finetune.method to none, or backbone.family to {' or '.join(backbones.TRAINABLE)}"
        )
    return card


def _recipe(settings: FinetuneParams, card: ModelCard) -> FinetuneParams:
    """Return the settings for inputs of the head's modality, and print those of a preset."""
    if settings.label_names and card.modality != "text":
        if settings.preset == "none":
            raise HeadstartError("finetune.label_names is true, but the inputs are images, not texts; set it to false")
        settings = settings.model_copy(update={"label_names": False})
    if settings.preset != "none":
        values = (f"{name} {getattr(settings, name)}" for name in presets.VALUES[settings.preset])
        print(f"finetune: preset {settings.preset}: {', '.join(values)}")
    return settings


def _rows(prepared_folder: Path, split: str, card: ModelCard, budget: BudgetParams) -> Rows:
    """Read the rows of a split that the budget allows."""
    from stages.tables import prepared

    rows = prepared.read(prepared_folder, split)
    mask, y = prepared.usable_rows(rows["id"].to_pylist(), rows["label"].to_pylist(), budget, card.labels)
    rows = rows.filter(mask)
    digest = hashlib.sha256("".join([*rows["id"].to_pylist(), *map(str, y)]).encode()).hexdigest()
    return Rows(prepared.inputs(rows, card.modality, combine=card.extract.combine), y, digest)


def _starting_classifier(
    features_folder: Path, head_folder: Path, card: ModelCard, recipe: FinetuneParams, settings: Params
) -> "Classifier":
    """Load the pretrained backbone with the head as its classifier layer, ready to train."""
    from stages.finetuning import classifier as classifiers

    classifier = classifiers.pretrained(card, settings.runtime)
    classifier.start_from(*_linear_layer(features_folder, head_folder, settings.budget))
    classifier.adapt(recipe)
    return classifier


def _linear_layer(features_folder: Path, head_folder: Path, budget: BudgetParams) -> "tuple[np.ndarray, np.ndarray]":
    """Return the head as a linear layer. If it is not linear, fit a logistic head on the same features instead."""
    from stages.heads import choosing
    from stages.tables import features

    if layer := linear_layer.read(head_folder):
        return layer
    train = features.read(features_folder, "train", budget)
    logistic, _ = choosing.logistic_head(train.X, train.labels)
    layer = linear_layer.from_head(logistic)
    assert layer is not None
    return layer


def _file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _versions() -> dict[str, str]:
    return model_card.versions("accelerate", "peft", "torch", "transformers")


def _with_label_names(rows: Rows, card: ModelCard) -> "tuple[list[Any], np.ndarray]":
    """Return the inputs and label indices of rows, and of the name of each label as one more text of that label."""
    import numpy as np

    names = [re.sub(r"[_\W]+", " ", label).strip() or label for label in card.labels]
    inputs = names if card.extract.combine == "join" else [(name, "") for name in names]
    return rows.inputs + inputs, np.concatenate([rows.y, np.arange(len(names))])


def _validate(classifier: "Classifier", rows: Rows) -> dict[str, float]:
    """Return the headline metrics on the validation rows; none if there are no rows."""
    from scipy.special import softmax

    from stages.scores import metrics

    return metrics.headline(rows.y, softmax(classifier.scores(rows.inputs), axis=1)) if rows.inputs else {}


def _calibrate(classifier: "Classifier", validation: Rows) -> None:
    """Fit the temperature on the validation rows, if they are enough."""
    from stages.scores import calibration

    if len(validation.y) >= calibration.MIN_CALIBRATION_ROWS:
        classifier.temperature = calibration.fit_temperature(classifier.scores(validation.inputs), validation.y)


def _training_record(progress: "Progress", train: Rows, validation: Rows) -> dict[str, Any]:
    return {
        "rows": len(train.inputs),
        "validation_rows": len(validation.inputs),
        "steps": progress.step,
        "start": progress.start,
        "epochs": progress.history,
        "kept_epoch": progress.kept,
    }


def _tuned_card(card: ModelCard, settings: FinetuneParams, temperature: float, training: dict[str, Any]) -> ModelCard:
    """Return the model.json of the fine-tuned model, from that of the head."""
    return card.model_copy(
        update={
            "method": settings.method,
            "temperature": temperature,
            "validation_temperature": temperature,
            "chosen": settings.recipe(),
            "training": training,
            "versions": _versions(),
        }
    )


def _write(target: Path, classifier: "Classifier", card: ModelCard, progress: "Progress") -> None:
    from stages.finetuning import curves

    with atomic.directory(target, CONTENT) as folder:
        classifier.save(folder, method=card.method)
        model_card.write(folder, card)
        curves.write(folder / curves.FOLDER, progress.history)


def _outcome(progress: "Progress") -> str:
    """Say how validation accuracy changed, and which epoch is kept."""
    epochs = counted(len(progress.history), "epoch")
    if not progress.start:
        return f"{epochs}, no validation rows"
    before = f"validation accuracy {progress.start['accuracy']:.3f}"
    if not progress.kept:
        return f"{before} was not surpassed in {epochs}: the head and the pretrained weights are kept"
    return f"{before} -> {progress.kept_metrics['accuracy']:.3f} in epoch {progress.kept} of {epochs}"


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
