"""Finetune: train the backbone on from its pretrained weights, starting from the trained head. Optional.

    python -m stages.finetune data/prepared data/features data/head data/finetuned

Several GPUs: `accelerate launch -m stages.finetune data/prepared …`, with as many batches at a time as processes.

Reads `budget`, `finetune` and `runtime` from params.yaml. With `method: none` it writes model.json saying so, in under
a second; otherwise model.safetensors (with lora its adapter), linear.safetensors (the classifier layer), preprocessing,
training/ (the curves, by dvclive) and model.json. A fine-tuned model.safetensors is a valid `backbone.weights` for the
next task.
"""

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages import backbones
from stages.common import atomic, cli, params, run_stats
from stages.common.errors import HeadstartError
from stages.common.params import BudgetParams, FinetuneParams, RuntimeParams
from stages.heads import linear_layer, model_card
from stages.heads.model_card import ModelCard

if TYPE_CHECKING:
    import numpy as np

    from stages.finetuning.classifier import Classifier
    from stages.finetuning.progress import Progress


def finetune(
    *,
    prepared_folder: Path,
    features_folder: Path,
    head: Path,
    target: Path,
    budget: BudgetParams,
    settings: FinetuneParams,
    runtime: RuntimeParams,
) -> None:
    """Fine-tune the backbone of `head` on the training rows of `prepared_folder`, and write it to `target`.

    Raises:
        HeadstartError: an input is missing or damaged, the backbone has no weights to train, or training diverged.
    """
    if settings.method == "none":
        with atomic.directory(target) as out:
            model_card.write(out, None)
        print(f"finetune: method none, nothing to train, in {run_stats.spent()}")
        return
    trained = model_card.read(head)
    if trained is None:
        raise HeadstartError(f"{head / model_card.FILE} describes no head; run `dvc repro train_head`")
    if trained.backbone.family not in backbones.TRAINABLE:
        raise HeadstartError(
            f"finetune.method is {settings.method}, but backbone.family {trained.backbone.family} has no weights to"
            f" train; set finetune.method to none, or backbone.family to {' or '.join(backbones.TRAINABLE)}"
        )
    # Imported here: without fine-tuning this stage takes a third of a second.
    from stages.finetuning import checkpoints, curves, loop
    from stages.finetuning import classifier as classifiers
    from stages.scores import calibration

    inputs, y, rows = _rows(prepared_folder, "train", trained, budget)
    if settings.label_names:
        inputs, y = _with_names(inputs, y, trained)
    held_out, truth, held_out_rows = _rows(prepared_folder, "validation", trained, budget)
    versions = model_card.versions("accelerate", "peft", "torch", "transformers")
    head_hash = hashlib.sha256((head / model_card.FILE).read_bytes()).hexdigest()
    classifier = classifiers.pretrained(trained, runtime)
    classifier.start_from(*_linear_layer(features_folder, head, budget))
    classifier.adapt(settings)
    progress = loop.train(
        classifier,
        inputs,
        y,
        settings,
        runtime,
        from_random=trained.backbone.weights == "random",
        validate=lambda: _validate(classifier, held_out, truth),
        run=f"{rows} {held_out_rows} {head_hash} {versions}",
    )
    if not checkpoints.is_main():
        return
    if len(truth) >= calibration.MIN_CALIBRATION_ROWS:
        classifier.temperature = calibration.fit_temperature(classifier.scores(held_out), truth)
    with atomic.directory(target) as out:
        classifier.save(out, method=settings.method)
        described = trained.model_copy(
            update={
                "method": settings.method,
                "temperature": classifier.temperature,
                "validation_temperature": classifier.temperature,
                "chosen": settings.model_dump(),
                "training": {
                    "rows": len(inputs) - len(trained.labels) * settings.label_names,
                    "validation_rows": len(truth),
                    "steps": progress.step,
                    "start": progress.start,
                    "epochs": progress.history,
                    "kept_epoch": progress.kept,
                },
                "versions": versions,
            }
        )
        model_card.write(out, described)
        curves.write(out / curves.FOLDER, progress.history)
    print(
        f"finetune: {settings.method}, {len(inputs):,} rows, {progress.step:,} steps"
        f" in {run_stats.spent()}, {_outcome(progress)}"
    )


def _with_names(inputs: "list[Any]", y: "np.ndarray", trained: ModelCard) -> "tuple[list[Any], np.ndarray]":
    """The rows, and each label's name as a text of that label."""
    import numpy as np

    if trained.modality != "text":
        raise HeadstartError("finetune.label_names is true, but names are no images; set it to false")
    names = [re.sub(r"[_\W]+", " ", label).strip() or label for label in trained.labels]
    return inputs + names, np.concatenate([y, np.arange(len(names))])


def _outcome(progress: "Progress") -> str:
    epochs = f"{len(progress.history)} epochs"
    if not progress.start:
        return f"{epochs}, no validation rows"
    before = f"validation accuracy {progress.start['accuracy']:.3f}"
    if not progress.kept:
        return f"{before} was not surpassed in {epochs}: the head and the pretrained weights are kept"
    return f"{before} -> {progress.history[progress.kept - 1]['accuracy']:.3f} in epoch {progress.kept} of {epochs}"


def _rows(
    prepared_folder: Path, split: str, trained: ModelCard, budget: BudgetParams
) -> "tuple[list[Any], np.ndarray, str]":
    """Inputs and label indices of the rows of a split that can be used, and a hash of both."""
    from stages.tables import prepared

    rows = prepared.read(prepared_folder, split)
    mask, y = prepared.usable_rows(rows["id"].to_pylist(), rows["label"].to_pylist(), budget, trained.labels)
    rows = rows.filter(mask)
    digest = hashlib.sha256("".join([*rows["id"].to_pylist(), *map(str, y)]).encode()).hexdigest()
    return rows[trained.modality].to_pylist(), y, digest


def _linear_layer(features_folder: Path, head: Path, budget: BudgetParams) -> "tuple[np.ndarray, np.ndarray]":
    """The head as a linear layer; a head that is not linear is stood in for by a logistic one on the same features."""
    from stages.heads import choosing
    from stages.tables import features

    if layer := linear_layer.read(head):
        return layer
    train = features.read(features_folder, "train", budget)
    logistic, _ = choosing.logistic_head(train.X, train.labels)
    layer = linear_layer.from_head(logistic)
    assert layer is not None
    return layer


def _validate(classifier: "Classifier", inputs: "list[Any]", truth: "np.ndarray") -> dict[str, float]:
    """Headline metrics on the validation rows; empty where there are none."""
    from scipy.special import softmax

    from stages.scores import metrics

    return metrics.headline(truth, softmax(classifier.scores(inputs), axis=1)) if inputs else {}


def main() -> None:
    args = cli.arguments(
        __doc__,
        prepared="folder that prepare wrote",
        features="folder that extract wrote",
        head="folder that train_head wrote",
        finetuned="folder to write",
    )
    settings = params.load(args.params)
    finetune(
        prepared_folder=args.prepared,
        features_folder=args.features,
        head=args.head,
        target=args.finetuned,
        budget=settings.budget,
        settings=settings.finetune,
        runtime=settings.runtime,
    )


if __name__ == "__main__":
    cli.run(main)
