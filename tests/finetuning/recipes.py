"""The fine-tuning recipe in this process, on a tiny encoder of texts and one of images."""

import io
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stages import backbones
from stages.common.params import BackboneParams, ExtractParams, FinetuneParams, Modality, RuntimeParams
from stages.finetuning import loop, progress
from stages.finetuning.classifier import Classifier
from stages.finetuning.progress import Progress
from stages.finetuning.rows import Rows
from stages.heads.model_card import ModelCard
from stages.tasks.single import Single

WORDS = ["i", "this", "product", "is", "the", "a", "movie"]


LABELS = ("bad", "good")


SQUEEZENET = BackboneParams(family="torchvision", name="squeezenet1_1", weights="random")


SMALL = {"text": ExtractParams(max_length=32), "image": ExtractParams(image_size=32)}


def texts(rows: int) -> tuple[list[Any], np.ndarray]:
    generator = np.random.default_rng(0)
    y = generator.integers(0, 2, rows)
    return [
        " ".join([*generator.choice(WORDS, generator.integers(2, 12)), "love" if label else "hate"]) for label in y
    ], y


def pictures(rows: int) -> tuple[list[Any], np.ndarray]:
    generator = np.random.default_rng(0)
    y = generator.integers(0, 2, rows)
    out = []
    for label in y:
        file = io.BytesIO()
        values = generator.integers(0, 100, (32, 32, 3)) + 150 * np.eye(3, dtype=int)[label]
        Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(file, "PNG")
        out.append(file.getvalue())
    return out, y


ROWS: dict[Modality, Callable[[int], tuple[list[Any], np.ndarray]]] = {"text": texts, "image": pictures}


def spec(modality: Modality, tiny: Path) -> BackboneParams:
    return BackboneParams(family="transformers", name=str(tiny)) if modality == "text" else SQUEEZENET


def fresh(modality: Modality, tiny: Path, settings: FinetuneParams) -> Classifier:
    """A classifier whose last layer starts from a fixed one, as it starts from a head."""
    encoder = backbones.load_encoder(spec(modality, tiny), SMALL[modality], RuntimeParams(device="cpu"), modality)
    network = Classifier(encoder, Single(LABELS))
    network.start_from(np.random.default_rng(1).normal(0, 0.1, (2, encoder.dim)), np.zeros(2))
    network.adapt(settings)
    return network


def train(
    network: Classifier,
    modality: Modality,
    settings: FinetuneParams,
    *,
    validated: bool = True,
    unfinished: ExitStack | None = None,
    **runtime: Any,
) -> Progress:
    inputs, y = ROWS[modality](40)
    held_out, truth = inputs[:20], y[:20]

    none = np.empty(0)
    validation = Rows(held_out, truth, [], "") if validated else Rows([], none, [], "")
    judge = partial(progress.validation, network, validation)
    return loop.train(network, task(modality, settings, **runtime), judge, unfinished=unfinished)


def task(modality: Modality, settings: FinetuneParams, **runtime: Any) -> loop.Task:
    inputs, y = ROWS[modality](40)
    on_cpu = RuntimeParams(device="cpu", **runtime)
    return loop.Task(inputs, y, settings, on_cpu, from_random=False, identity="a test")


def settings(**changes: Any) -> FinetuneParams:
    options = {"method": "full", "epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "patience": None}
    return FinetuneParams(**{**options, **changes})


def card(**values: Any) -> ModelCard:
    """A model.json with these values, and empty ones of what they do not say."""
    empty = {
        "method": "head",
        "labels": LABELS,
        "input": "x",
        "modality": "text",
        "max_side": None,
        "backbone": BackboneParams(family="transformers", name="a model"),
        "extract": ExtractParams(),
        "fingerprint": "",
        "temperature": 1.0,
        "validation_temperature": 1.0,
        "chosen": {},
        "training": {},
        "versions": {},
    }
    return ModelCard(**empty | values)
