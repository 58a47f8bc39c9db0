"""Finetune: train the backbone on from its pretrained weights, starting from the trained head. Optional.

    python -m stages.finetune data/prepared data/features data/head data/finetuned

Reads `budget`, `finetune` and `runtime` from params.yaml. With `method: none` it writes model.json saying so, in under
a second; otherwise model.safetensors, linear.safetensors (the classifier layer), preprocessing, and model.json.
A fine-tuned model.safetensors is a valid `backbone.weights` for the next task.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from stages import backbones, cli, linear, model, outputs, params
from stages.errors import HeadstartError
from stages.params import BudgetParams, FinetuneParams, Modality, RuntimeParams, TrainHeadParams

if TYPE_CHECKING:
    import numpy as np

    from stages.backbones.classifier import Classifier


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
        print("finetune: method none, nothing to train")
        return
    start = time.perf_counter()
    trained = model.read(head)
    if trained is None:
        raise HeadstartError(f"{head / model.FILE} describes no head; run `dvc repro train_head`")
    if trained.backbone.family not in backbones.TRAINABLE:
        raise HeadstartError(
            f"finetune.method is {settings.method}, but backbone.family {trained.backbone.family} has no weights to"
            f" train; set finetune.method to none, or backbone.family to {' or '.join(backbones.TRAINABLE)}"
        )
    # Imported here: without fine-tuning this stage takes a third of a second.
    import numpy as np

    from stages import samples, training
    from stages.backbones import classifier as classifiers

    train = samples.read(prepared, "train")
    train = train.filter(samples.within_budget(train["id"].to_pylist(), train["label"].to_pylist(), budget))
    inputs = train[trained.modality].to_pylist()
    y = np.array([trained.labels.index(label) for label in train["label"].to_pylist()])
    classifier = classifiers.pretrained(trained, runtime)
    classifier.start_from(*_linear_layer(source, head, budget))
    before = _validate(classifier, prepared, trained.modality)
    steps = training.train(classifier, inputs, y, settings, from_random=trained.backbone.weights == "random")
    after = _validate(classifier, prepared, trained.modality)
    with outputs.directory(target) as out:
        classifier.save(out)
        described = trained.model_copy(
            update={
                "method": settings.method,
                "temperature": 1.0,
                "chosen": settings.model_dump(),
                "training": {
                    "rows": len(inputs),
                    "steps": steps,
                    "validation": {"start": before, "end": after},
                },
                "versions": model.versions("accelerate", "torch", "transformers"),
            }
        )
        model.write(out, described)
    shown = f", validation accuracy {before['accuracy']:.3f} -> {after['accuracy']:.3f}" if before else ""
    print(
        f"finetune: {settings.method}, {len(inputs):,} rows, {settings.epochs} epochs, {steps:,} steps"
        f" in {time.perf_counter() - start:.1f} s{shown}"
    )


def _linear_layer(source: Path, head: Path, budget: BudgetParams) -> "tuple[np.ndarray, np.ndarray]":
    """The head as a linear layer; a head that is not linear is stood in for by a logistic one on the same features."""
    from stages import features, heads, samples

    if layer := linear.read(head):
        return layer
    train = features.read(source, "train")
    train = train.select(samples.within_budget(train.ids, train.labels, budget))
    logistic, _ = heads.fit(train.X, train.labels, TrainHeadParams(kind="logistic"))
    layer = heads.linear_layer(logistic)
    assert layer is not None
    return layer


def _validate(classifier: "Classifier", prepared: Path, modality: Modality) -> dict[str, float]:
    """Headline metrics on the validation rows; empty where there are none."""
    import numpy as np

    from stages import metrics, samples

    scored = [
        ([classifier.labels.index(label) for label in window.labels], classifier.probabilities(window.inputs))
        for window in samples.windows(prepared, "validation", modality)
    ]
    if not scored:
        return {}
    truth, P = (np.concatenate(parts) for parts in zip(*scored, strict=True))
    return metrics.headline(truth, P)


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
