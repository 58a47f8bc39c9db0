"""A pretrained encoder with a linear classifier layer: what finetune trains, and evaluate and predict load."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from stages.backbones import transformers
from stages.backbones.transformers import Batch, TextEncoder
from stages.errors import HeadstartError
from stages.model import Model
from stages.params import RuntimeParams


class Classifier(nn.Module):
    """softmax(linear(encoder(input)) / temperature)."""

    def __init__(self, encoder: TextEncoder, labels: Sequence[str], temperature: float = 1.0) -> None:
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

    def forward(self, batch: Batch, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Logits (rows, labels), and with `labels` (rows,) the mean cross-entropy as `loss`."""
        logits = self.classifier(self.encoder(batch))
        if labels is None:
            return {"logits": logits}
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}

    def probabilities(self, inputs: Sequence[str]) -> np.ndarray:
        """Probability of each label: (inputs, labels) float64."""
        out = np.empty((len(inputs), len(self.labels)))
        self.eval()
        with torch.inference_mode():
            for positions, batch in self.encoder.batches(inputs):
                logits = self(batch)["logits"].double() / self.temperature
                out[positions] = torch.softmax(logits, dim=1).cpu().numpy()
        return out

    def save(self, folder: Path) -> None:
        """Write weights, config and tokenizer."""
        transformers.save_finetuned(folder, self.encoder, self.classifier)


def pretrained(head: Model, runtime: RuntimeParams) -> Classifier:
    """The backbone of a trained head with a classifier layer of no training; `head` is its model.json.

    Raises:
        HeadstartError: see `transformers.load`; or the backbone found is not the one that the head was trained on.
    """
    encoder = transformers.load(head.backbone, head.extract, runtime)
    if encoder.fingerprint != head.fingerprint:
        raise HeadstartError(
            f"the head was trained on another version of {head.backbone.name}; run `dvc repro extract`"
        )
    return Classifier(encoder, head.labels)


def load(folder: Path, model: Model, runtime: RuntimeParams) -> Classifier:
    """Load a fine-tuned model; `model` is its model.json."""
    encoder, state = transformers.load_finetuned(folder, model.extract, runtime)
    classifier = Classifier(encoder, model.labels, model.temperature)
    try:
        classifier.classifier.load_state_dict(state)
    except RuntimeError as error:
        raise HeadstartError(
            f"{folder} has no classifier layer for its labels ({error}); run `dvc repro finetune`"
        ) from None
    return classifier
