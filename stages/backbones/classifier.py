"""A pretrained encoder with a linear classifier layer: what finetune trains, and evaluate and predict load."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stages import backbones, linear
from stages.backbones.encoder import Encoder
from stages.errors import HeadstartError
from stages.model import Model
from stages.params import RuntimeParams


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

    def forward(self, batch: Any, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Logits (rows, labels), and with `labels` (rows,) the mean cross-entropy as `loss`."""
        logits = self.classifier(self.encoder(batch))
        if labels is None:
            return {"logits": logits}
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}

    def probabilities(self, inputs: Sequence[Any]) -> np.ndarray:
        """Probability of each label: (inputs, labels) float64."""
        out = np.empty((len(inputs), len(self.labels)))
        self.eval()
        with torch.inference_mode():
            for positions, batch in self.encoder.batches(inputs):
                logits = self(batch)["logits"][: len(positions)].double() / self.temperature
                out[positions] = torch.softmax(logits, dim=1).cpu().numpy()
        return out

    def save(self, folder: Path) -> None:
        """Write the encoder, and the classifier layer in the format of a head's."""
        self.encoder.export(folder)
        layer = self.classifier
        linear.write(folder, layer.weight.detach().cpu().numpy(), layer.bias.detach().cpu().numpy())


def pretrained(head: Model, runtime: RuntimeParams) -> Classifier:
    """The backbone of a trained head with a classifier layer of no training; `head` is its model.json.

    Raises:
        HeadstartError: see `backbones.load`; or the backbone found is not the one that the head was trained on.
    """
    encoder = backbones.load_encoder(head.backbone, head.extract, runtime, head.modality)
    if encoder.fingerprint != head.fingerprint:
        raise HeadstartError(
            f"the head was trained on another version of {head.backbone.name}; run `dvc repro extract`"
        )
    return Classifier(encoder, head.labels)


def load(folder: Path, model: Model, runtime: RuntimeParams) -> Classifier:
    """Load a fine-tuned model; `model` is its model.json."""
    encoder = backbones.load_finetuned(folder, model.backbone, model.extract, runtime, model.modality)
    classifier = Classifier(encoder, model.labels, model.temperature)
    layer = linear.read(folder)
    if layer is None or layer[0].shape != tuple(classifier.classifier.weight.shape):
        raise HeadstartError(
            f"{folder / linear.FILE} does not hold a classifier layer for {len(model.labels)} labels;"
            " run `dvc repro finetune`"
        )
    classifier.start_from(*layer)
    return classifier
