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

from stages import backbones, cli, cost, linear, model, outputs, params
from stages.errors import HeadstartError
from stages.model import Model
from stages.params import BudgetParams, FinetuneParams, RuntimeParams

if TYPE_CHECKING:
    import numpy as np

    from stages.backbones.classifier import Classifier
    from stages.training.progress import Progress


def finetune(
    *,
    prepared: Path,
    source: Path,
    head: Path,
    target: Path,
    budget: BudgetParams,
    settings: FinetuneParams,
    runtime: RuntimeParams,
) -> None:
    """Fine-tune the backbone of `head` on the training rows of `prepared`, and write it to `target`.

    Raises:
        HeadstartError: an input is missing or damaged, the backbone has no weights to train, or training diverged.
    """
    if settings.method == "none":
        with outputs.directory(target) as out:
            model.write(out, None)
        print(f"finetune: method none, nothing to train, in {cost.spent()}")
        return
    trained = model.read(head)
    if trained is None:
        raise HeadstartError(f"{head / model.FILE} describes no head; run `dvc repro train_head`")
    if trained.backbone.family not in backbones.TRAINABLE:
        raise HeadstartError(
            f"finetune.method is {settings.method}, but backbone.family {trained.backbone.family} has no weights to"
            f" train; set finetune.method to none, or backbone.family to {' or '.join(backbones.TRAINABLE)}"
        )
    # Imported here: without fine-tuning this stage takes a third of a second.
    from stages import calibration, training
    from stages.backbones import classifier as classifiers
    from stages.training import checkpoints, curves

    inputs, y, rows = _rows(prepared, "train", trained, budget)
    if settings.label_names:
        inputs, y = _with_names(inputs, y, trained)
    held_out, truth, held_out_rows = _rows(prepared, "validation", trained, budget)
    versions = model.versions("accelerate", "peft", "torch", "transformers")
    head_hash = hashlib.sha256((head / model.FILE).read_bytes()).hexdigest()
    classifier = classifiers.pretrained(trained, runtime)
    classifier.start_from(*_linear_layer(source, head, budget))
    classifier.adapt(settings)
    progress = training.train(
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
    if len(truth) >= calibration.LEAST_ROWS:
        classifier.temperature = calibration.fit_temperature(classifier.scores(held_out), truth)
    with outputs.directory(target) as out:
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
        model.write(out, described)
        curves.write(out / curves.FOLDER, progress.history)
    print(
        f"finetune: {settings.method}, {len(inputs):,} rows, {progress.step:,} steps"
        f" in {cost.spent()}, {_outcome(progress)}"
    )


def _with_names(inputs: "list[Any]", y: "np.ndarray", trained: Model) -> "tuple[list[Any], np.ndarray]":
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


def _rows(prepared: Path, split: str, trained: Model, budget: BudgetParams) -> "tuple[list[Any], np.ndarray, str]":
    """Inputs and label indices of the rows of a split that can be used, and a hash of both."""
    from stages import samples

    rows = samples.read(prepared, split)
    mask, y = samples.usable(rows["id"].to_pylist(), rows["label"].to_pylist(), budget, trained.labels)
    rows = rows.filter(mask)
    digest = hashlib.sha256("".join([*rows["id"].to_pylist(), *map(str, y)]).encode()).hexdigest()
    return rows[trained.modality].to_pylist(), y, digest


def _linear_layer(source: Path, head: Path, budget: BudgetParams) -> "tuple[np.ndarray, np.ndarray]":
    """The head as a linear layer; a head that is not linear is stood in for by a logistic one on the same features."""
    from stages import features, heads

    if layer := linear.read(head):
        return layer
    train = features.read(source, "train", budget)
    logistic, _ = heads.logistic_head(train.X, train.labels)
    layer = heads.linear_layer(logistic)
    assert layer is not None
    return layer


def _validate(classifier: "Classifier", inputs: "list[Any]", truth: "np.ndarray") -> dict[str, float]:
    """Headline metrics on the validation rows; empty where there are none."""
    from stages import metrics
    from stages.scoring import softmax

    return metrics.headline(truth, softmax(classifier.scores(inputs))) if inputs else {}


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
        prepared=args.prepared,
        source=args.features,
        head=args.head,
        target=args.finetuned,
        budget=settings.budget,
        settings=settings.finetune,
        runtime=settings.runtime,
    )


if __name__ == "__main__":
    cli.run(main)
