"""Guesses of a trained network as targets of a second one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stages.common.params import FinetuneParams
from stages.finetuning import pseudo_labels
from stages.finetuning.loss import Loss, Targets
from stages.heads import propagation
from stages.tasks.single import Single
from tests.finetuning.recipes import LABELS, ROWS, fresh, settings


def test_labels_stay_and_guesses_follow_the_network(tiny_encoder: Path) -> None:
    network = fresh("text", tiny_encoder, settings())
    inputs, y = ROWS["text"](40)
    shares, weights = pseudo_labels.targets(network, inputs[:20], y[:20], inputs[20:], smoothing=0.1)
    assert shares.shape == (40, len(LABELS)) and weights.mean() == pytest.approx(1)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    assert (shares[:20].argmax(axis=1) == y[:20]).all()
    np.testing.assert_allclose(shares[:20].max(axis=1), 0.9 + 0.1 / len(LABELS), rtol=1e-6)
    assert weights[:20].min() == weights[:20].max() > weights[20:].max(), "a label counts more than any guess"


def test_guesses_are_what_the_network_says_only_sharper(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(propagation, "guesses", lambda graph, y, P: P)
    network = fresh("text", tiny_encoder, settings())
    inputs, y = ROWS["text"](40)
    shares, _ = pseudo_labels.targets(network, inputs[:20], y[:20], inputs[20:], smoothing=0.0)
    squares = network.probabilities(inputs[20:]) ** 2
    np.testing.assert_allclose(shares[20:], squares / squares.sum(axis=1, keepdims=True), rtol=1e-4)


def test_targets_of_labels_are_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, y = torch.randn(6, 3, generator=generator), torch.tensor([0, 1, 2, 2, 1, 0])
    chosen = FinetuneParams(label_smoothing=0.2)
    shares = np.eye(3, dtype=np.float32)[y.numpy()] * 0.8 + 0.2 / 3
    task = Single(("a", "b", "c"))
    by_labels = Loss(y, task, chosen, None)(logits, logits, torch.arange(6))
    by_targets = Loss(y, task, chosen, None, Targets(shares.astype(np.float32), np.ones(6, np.float32)))
    torch.testing.assert_close(by_targets(logits, logits, torch.arange(6)), by_labels)
    doubled = Loss(y, task, chosen, None, Targets(shares.astype(np.float32), np.array([2, 0, 2, 0, 2, 0], np.float32)))
    torch.testing.assert_close(
        doubled(logits, logits, torch.arange(6)), by_targets(logits[::2], logits[::2], torch.tensor([0, 2, 4]))
    )


def test_the_second_training_is_without_contrast() -> None:
    chosen = pseudo_labels.recipe(FinetuneParams(preset="few_labels"))
    assert chosen.contrastive == 0 and chosen.epochs == pseudo_labels.EPOCHS and chosen.learning_rate == "auto"
