"""Load a trained head with its backbone, or a fine-tuned model, as a function of inputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from stages.backbones import Backbone, deferred
from stages.common.params import Backbones, RuntimeParams
from stages.heads import loading, model_card
from stages.heads.model_card import ModelCard
from stages.tables import features
from stages.tables.features import Matrix
from stages.tasks import Task

Scores: TypeAlias = Callable[[Sequence[Any]], np.ndarray]
Encode: TypeAlias = Callable[[Backbone, Backbones, RuntimeParams, Sequence[Any]], Matrix]


@dataclass(frozen=True)
class TrainedModel:
    """A model that takes texts, pairs of texts or encoded images.

    Attributes:
        vectors: computes the vectors of inputs, (inputs, dim).
        head: computes the calibrated scores of vectors, (inputs, labels) float64.
        task: makes outputs of them.
    """

    vectors: Callable[[Sequence[Any]], Matrix]
    head: Callable[[Matrix], np.ndarray]
    task: Task

    def scores(self, inputs: Sequence[Any]) -> np.ndarray:
        """Compute the calibrated scores of inputs, (inputs, labels) float64."""
        return self.head(self.vectors(inputs))

    def outputs(self, inputs: Sequence[Any]) -> np.ndarray:
        """Compute the outputs of the task, such as probabilities: (inputs, …) float64."""
        return self.task.outputs(self.scores(inputs))

    def probabilities(self, inputs: Sequence[Any]) -> np.ndarray:
        """Compute the probability of each label: (inputs, labels) float64."""
        assert self.task.has_classes
        return self.task.probabilities(self.outputs(inputs))


def load(folder: Path, card: ModelCard, runtime: RuntimeParams, encode: Encode | None = None) -> TrainedModel:
    """Load the model that train_head or finetune wrote into `folder`; `card` is its model.json.

    Args:
        encode: computes the vectors that a head takes; None: the backbone does.

    Raises:
        HeadstartError: a file is missing or damaged, or the backbone is not the version that the head was trained on.
    """
    if card.method != "head":
        from stages.finetuning import classifier  # not at the top: it imports torch

        tuned = classifier.load(folder, card, runtime)
        return TrainedModel(tuned.encoder.encode, tuned.head, card.as_task())
    saved = folder / features.BACKBONE_FOLDER
    backbone = deferred.load(
        card.backbone,
        card.extract,
        runtime,
        modality=card.modality,
        saved=saved if saved.exists() else None,
    )
    model_card.check_backbone(card, backbone.fingerprint)
    head = loading.load_scores(folder, card, backbone.dim)
    if encode is None:
        return TrainedModel(backbone.encode, head, card.as_task())
    return TrainedModel(lambda inputs: encode(backbone, card.backbone, runtime, inputs), head, card.as_task())
