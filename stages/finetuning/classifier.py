"""A pretrained encoder with a linear classifier layer: finetune trains it, evaluate and predict load it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stages import backbones
from stages.backbones import blocks, onednn
from stages.backbones.encoder import Encoder
from stages.common.errors import HeadstartError, one_line
from stages.common.params import FinetuneParams, RuntimeParams
from stages.heads import linear_layer, loading, model_card
from stages.heads.model_card import ModelCard
from stages.tasks import Task


class Classifier(nn.Module):
    """linear(encoder(input)) / temperature, of which the task makes its outputs, such as probabilities.

    Attributes:
        temperature: divides the scores; one for all, or one for every label, (labels,).
    """

    def __init__(self, encoder: Encoder, task: Task, temperature: float | Sequence[float] = 1.0) -> None:
        super().__init__()
        self.encoder, self.task = encoder, task
        self.classifier = nn.Linear(encoder.dim, task.columns)
        self.temperature = np.asarray(temperature)
        self.to(encoder.device)

    def start_from(self, weight: np.ndarray, bias: np.ndarray) -> None:
        """Set the classifier layer; `weight`: (columns, dim), `bias`: (columns,)."""
        with torch.no_grad():
            self.classifier.weight.copy_(torch.from_numpy(weight))
            self.classifier.bias.copy_(torch.from_numpy(bias))

    def forward(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Return the scores of a batch, (rows, columns), and its vectors, (rows, dim), for training."""
        vectors = self.encoder(batch)
        return self.classifier(vectors), vectors

    def scores(self, inputs: Sequence[Any]) -> np.ndarray:
        """Return the scores of inputs, before division by the temperature: (inputs, columns) float64."""
        return self.logits(self.encoder.encode(inputs))

    def logits(self, X: np.ndarray) -> np.ndarray:
        """Return the logits of vectors, (rows, dim), before division by the temperature: (rows, columns) float64."""
        layer = self.classifier
        weight, bias = (tensor.detach().cpu().double().numpy() for tensor in (layer.weight, layer.bias))
        logits: np.ndarray = X @ weight.T + bias
        return logits

    def head(self, X: np.ndarray) -> np.ndarray:
        """Return the logits of vectors, divided by the temperature: (rows, columns) float64."""
        return loading.finite(self.logits(X) / self.temperature, "the fine-tuned model")

    def calibrated_scores(self, inputs: Sequence[Any]) -> np.ndarray:
        """Return the logits of inputs, divided by the temperature: (inputs, columns) float64."""
        return self.head(self.encoder.encode(inputs))

    def probabilities(self, inputs: Sequence[Any]) -> np.ndarray:
        """Return the probability of each label: (inputs, labels) float64."""
        assert self.task.has_classes
        return self.task.probabilities(self.task.outputs(self.calibrated_scores(inputs)))

    def adapt(self, settings: FinetuneParams) -> None:
        """Choose the weights that `finetune.method` trains; the classifier layer is always trained.

        Raises:
            HeadstartError: the backbone has no layer for lora.
        """
        body = self.encoder.body
        match settings.method:
            case "last_block":
                body.requires_grad_(False)
                for name in blocks.last_parameters(body):
                    body.get_parameter(name).requires_grad_(True)
            case "lora":
                from stages.finetuning import lora  # not at the top: peft takes a second to import

                self.encoder.requires_grad_(False)  # steps after the pooling: only adapters of the body are saved
                lora.add(body, settings, name=self.encoder.name)
        onednn.make_trainable(body)

    def rehearse(self, inputs: Sequence[Any], method: str) -> None:
        """Train on rows without a step of the optimizer, and load the weights that `save` would write.

        So a network that cannot be trained or loaded again is refused before training, not after it.

        Raises:
            HeadstartError: it is such a network.
        """
        name, buffers = self.encoder.name, {key: buffer.clone() for key, buffer in self.named_buffers()}
        by_length = sorted(
            inputs, key=lambda content: sum(map(len, content)) if isinstance(content, tuple) else len(content)
        )
        shortest, median = by_length[0], by_length[len(by_length) // 2]
        try:
            self.train()
            with torch.random.fork_rng(devices=[]):
                for rows in ([shortest] * 2, [shortest, median]):  # two rows, as batch normalisation needs
                    logits, _ = self(self.encoder.training_batch(self.encoder.training_rows(rows)))
                    logits.sum().backward()
            is_trained = any(parameter.grad is not None for parameter in self.encoder.parameters())
        except Exception as error:  # architectures raise errors of many types
            raise HeadstartError(
                f"{name} cannot be trained with finetune.method {method} ({one_line(error)}); set it to another"
                " method, or to none"
            ) from None
        if not is_trained:
            raise HeadstartError(f"{name} has no weights that finetune.method {method} trains; set it to full")
        self.zero_grad()
        self.eval()
        for key, buffer in self.named_buffers():  # running statistics
            buffer.copy_(buffers[key])
        if method != "lora":
            self.encoder.check_reload()

    def trained_state(self) -> dict[str, Tensor]:
        """Return a copy, on the CPU, of all that training changes: trained parameters and running statistics."""
        changing = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        changing |= {name for name, _ in self.named_buffers()}
        return {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in self.state_dict().items()
            if name in changing
        }

    def save(self, folder: Path, *, method: str) -> None:
        """Write the encoder (with lora only its adapter) and the classifier layer, in the format of a linear head."""
        if method == "lora":
            from stages.finetuning import lora

            lora.save(self.encoder.body, folder)
        else:
            self.encoder.export(folder)
        layer = self.classifier
        linear_layer.write(folder, layer.weight.detach().cpu().numpy(), layer.bias.detach().cpu().numpy())


def pretrained(card: ModelCard, runtime: RuntimeParams) -> Classifier:
    """Load the backbone of a trained head, with an untrained classifier layer.

    Raises:
        HeadstartError: the backbone cannot be loaded, or is not the version that the head was trained on.
    """
    return Classifier(_backbone(card, runtime), card.as_task())


def starting(
    card: ModelCard, layer: tuple[np.ndarray, np.ndarray], settings: FinetuneParams, runtime: RuntimeParams
) -> Classifier:
    """Load the backbone of a trained head with `layer`, weight and bias, as its classifier layer, ready to train.

    Raises:
        HeadstartError: see `pretrained` and `Classifier.adapt`.
    """
    classifier = pretrained(card, runtime)
    classifier.start_from(*layer)
    classifier.adapt(settings)
    return classifier


def load(folder: Path, card: ModelCard, runtime: RuntimeParams) -> Classifier:
    """Load the fine-tuned model in `folder`, whose model.json is `card`.

    Raises:
        HeadstartError: a file is missing or damaged, or does not fit the others.
    """
    if card.method == "lora":
        from stages.finetuning import lora

        encoder = _backbone(card, runtime)
        lora.load(encoder.body, folder)
    else:
        encoder = backbones.load_finetuned(folder, card.trained_backbone(), card.extract, runtime, card.modality)
    temperature = card.decisions.temperatures if card.decisions else card.temperature
    classifier = Classifier(encoder, card.as_task(), temperature)
    layer = linear_layer.read(folder)
    if layer is None or layer[0].shape != tuple(classifier.classifier.weight.shape):
        raise HeadstartError(
            f"{folder / linear_layer.FILE} does not hold a classifier layer of {classifier.task.columns} scores; run"
            " `dvc repro finetune`"
        )
    classifier.start_from(*layer)
    return classifier


def _backbone(card: ModelCard, runtime: RuntimeParams) -> Encoder:
    encoder = backbones.load_encoder(card.trained_backbone(), card.extract, runtime, card.modality)
    model_card.check_backbone(card, encoder.fingerprint)
    return encoder
