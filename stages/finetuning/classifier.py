"""A pretrained encoder with a linear classifier layer: what finetune trains, and evaluate and predict load."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor, nn

from stages import backbones
from stages.backbones import blocks, onednn
from stages.backbones.encoder import Encoder
from stages.common.errors import HeadstartError
from stages.common.params import FinetuneParams, RuntimeParams
from stages.finetuning import lora
from stages.heads import linear_layer
from stages.heads.model_card import ModelCard


class Classifier(nn.Module):
    """softmax(linear(encoder(input)) / temperature)."""

    def __init__(self, encoder: Encoder, labels: Sequence[str], temperature: float = 1.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.classifier = nn.Linear(encoder.dim, len(labels))
        self.labels = tuple(labels)
        self.temperature = temperature
        self.to(encoder.device)

    def start_from(self, weight: np.ndarray, bias: np.ndarray) -> None:
        """Set the classifier layer; `weight`: (labels, dim), `bias`: (labels,)."""
        with torch.no_grad():
            self.classifier.weight.copy_(torch.from_numpy(weight))
            self.classifier.bias.copy_(torch.from_numpy(bias))

    def forward(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Scores of a batch (rows, labels), and its vectors (rows, dim), for training."""
        vectors = self.encoder(batch)
        return self.classifier(vectors), vectors

    def scores(self, inputs: Sequence[Any]) -> np.ndarray:
        """Scores of each label, whose softmax at temperature 1 training works on: (inputs, labels) float64."""
        layer = self.classifier
        weight, bias = (tensor.detach().cpu().double().numpy() for tensor in (layer.weight, layer.bias))
        scores: np.ndarray = self.encoder.encode(inputs) @ weight.T + bias
        return scores

    def probabilities(self, inputs: Sequence[Any]) -> np.ndarray:
        """Probability of each label: (inputs, labels) float64."""
        probabilities: np.ndarray = softmax(self.scores(inputs) / self.temperature, axis=1)
        return probabilities

    def adapt(self, settings: FinetuneParams) -> None:
        """Choose what is trained, by `finetune.method`; the classifier layer always is.

        Raises:
            HeadstartError: the backbone has no layer for it.
        """
        body = self.encoder.body
        match settings.method:
            case "last_block":
                body.requires_grad_(False)
                for name in blocks.last(body):
                    body.get_parameter(name).requires_grad_(True)
            case "lora":
                lora.add(body, settings, name=self.encoder.name)
        onednn.make_trainable(body)

    def save(self, folder: Path, *, method: str) -> None:
        """Write the encoder, with lora only its adapter, and the classifier layer in the format of a head's."""
        if method == "lora":
            lora.save(self.encoder.body, folder)
        else:
            self.encoder.export(folder)
        layer = self.classifier
        linear_layer.write(folder, layer.weight.detach().cpu().numpy(), layer.bias.detach().cpu().numpy())


def pretrained(head: ModelCard, runtime: RuntimeParams) -> Classifier:
    """The backbone of a trained head with a classifier layer of no training; `head` is its model.json.

    Raises:
        HeadstartError: see `backbones.load`; or the backbone found is not the one that the head was trained on.
    """
    return Classifier(_backbone(head, runtime), head.labels)


def load(folder: Path, model: ModelCard, runtime: RuntimeParams) -> Classifier:
    """Load a fine-tuned model; `model` is its model.json."""
    if model.method == "lora":
        encoder = _backbone(model, runtime)
        lora.load(encoder.body, folder)
    else:
        encoder = backbones.load_finetuned(folder, model.backbone, model.extract, runtime, model.modality)
    classifier = Classifier(encoder, model.labels, model.temperature)
    layer = linear_layer.read(folder)
    if layer is None or layer[0].shape != tuple(classifier.classifier.weight.shape):
        raise HeadstartError(
            f"{folder / linear_layer.FILE} does not hold a classifier layer for {len(model.labels)} labels;"
            " run `dvc repro finetune`"
        )
    classifier.start_from(*layer)
    return classifier


def _backbone(model: ModelCard, runtime: RuntimeParams) -> Encoder:
    encoder = backbones.load_encoder(model.backbone, model.extract, runtime, model.modality)
    if encoder.fingerprint != model.fingerprint:
        raise HeadstartError(
            f"the model was trained on another version of {model.backbone.name} than is found here; run `dvc repro`"
        )
    return encoder
