"""Training: every method, early stopping, memory."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stages.backbones import blocks
from stages.common.errors import HeadstartError
from stages.common.params import Modality, RuntimeParams
from stages.finetuning import classifier, loop, lora, optimizer, progress
from stages.finetuning.classifier import Classifier
from stages.finetuning.loss import class_weights
from stages.finetuning.progress import Validation
from stages.finetuning.rows import Rows
from tests.finetuning.recipes import ROWS, SMALL, card, fresh, settings, spec, task, train


def state(network: Classifier) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.encoder.body.state_dict().items()}


@pytest.mark.parametrize("modality", ["text", "image"])
@pytest.mark.parametrize("method", ["full", "last_block", "lora"])
def test_every_method_starts_at_the_head_learns_and_comes_back_from_disk(
    modality: Modality, method: Any, tiny_encoder: Path, tmp_path: Path
) -> None:
    chosen = settings(method=method, epochs=3, horizontal_flip=False, random_resized_crop=False)
    inputs, _ = ROWS[modality](40)
    untouched = fresh(modality, tiny_encoder, settings(method="full"))
    network = fresh(modality, tiny_encoder, chosen)
    np.testing.assert_allclose(network.probabilities(inputs), untouched.probabilities(inputs), atol=1e-3)
    before = state(network)
    progress = train(network, modality, chosen)
    assert progress.kept and progress.history[progress.kept - 1]["log_loss"] < progress.start["log_loss"]

    changed = {name for name, tensor in network.encoder.body.state_dict().items() if not tensor.equal(before[name])}
    if method == "last_block":
        assert changed and changed <= set(blocks.last_parameters(network.encoder.body))
    elif method == "lora":
        assert changed and all("lora_" in name for name in changed)
    else:
        assert len(changed) > len(before) / 2

    network.save(tmp_path, method=method)
    if method == "lora":
        size = (tmp_path / lora.WEIGHTS_FILE).stat().st_size
        assert not (tmp_path / "model.safetensors").exists()
        assert size < sum(4 * tensor.numel() for tensor in before.values())
    saved = card(
        method=method,
        modality=modality,
        backbone=spec(modality, tiny_encoder),
        extract=SMALL[modality],
        fingerprint=network.encoder.fingerprint,
    )
    loaded = classifier.load(tmp_path, saved, RuntimeParams(device="cpu"))
    np.testing.assert_allclose(loaded.probabilities(inputs), network.probabilities(inputs), atol=1e-5)
    assert not any("lora" in name for name, _ in loaded.encoder.body.named_modules()), "merged"


def validations(*losses: Sequence[float]) -> Iterator[Validation]:
    """Of ten rows before the first epoch, and after each."""
    for rows in losses:
        yield Validation({"accuracy": 0.5, "log_loss": float(np.mean(rows))}, np.array(rows))


def test_an_epoch_that_is_worse_on_validation_is_not_kept(tiny_encoder: Path) -> None:
    network = fresh("text", tiny_encoder, settings())
    before = state(network)
    falling = task("text", settings(epochs=6, patience=2))
    progress = loop.train(network, falling, partial(next, validations(*([n / 10] * 10 for n in (3, 4, 5, 6)))))
    assert progress.kept == 0 and len(progress.history) == 2, "stopped early"
    assert "0.500, and a higher loss after 2 epochs: the head and the pretrained weights are kept" in (
        progress.in_words()
    )
    assert all(tensor.equal(before[name]) for name, tensor in network.encoder.body.state_dict().items())


NOISE = 0.1 * np.resize([1, -1], 10)  # of ten paired rows: a standard error is 0.1 / sqrt(10), or 0.032


@pytest.mark.parametrize(
    ("modality", "mean_losses", "kept"),
    [
        ("text", (0.5, 0.3, 0.4), 1),  # far worse than the best
        ("text", (0.5, 0.3, 0.32), 2),  # worse by less than a standard error
        ("text", (0.5, 0.3, 0.34), 1),  # worse by more
        ("text", (0.5, 0.52, 0.54), 1),  # the best is always the same one, so that small steps do not add up
        ("text", (0.5, 0.3, 0.2), 2),
        ("image", (0.5, 0.3, 0.32), 1),
        ("image", (0.5, 0.52, 0.54), 0),
        ("image", (0.5, 0.4, 0.3), 2),
    ],
)
def test_the_last_epoch_of_texts_is_kept_unless_another_is_better_beyond_a_standard_error(
    tiny_encoder: Path, modality: Modality, mean_losses: tuple[float, ...], kept: int
) -> None:
    network = fresh(modality, tiny_encoder, settings())
    signs = (1, -1, 1)
    rows = (mean + sign * NOISE / 2 for mean, sign in zip(mean_losses, signs, strict=True))
    progress = loop.train(network, task(modality, settings()), partial(next, validations(*rows)))
    assert progress.kept == kept
    is_best = mean_losses[kept] == min(mean_losses)
    assert progress.in_words().endswith("lowest loss") == (not is_best)


def test_losses_are_calibrated_before_they_choose(tiny_encoder: Path) -> None:
    """An epoch that is too sure by a constant factor is not worse."""
    network = fresh("text", tiny_encoder, settings())
    inputs, y = ROWS["text"](40)
    validation = progress.validation(network, Rows(inputs, y, [], ""))
    weight, bias = (tensor.detach().numpy() for tensor in (network.classifier.weight, network.classifier.bias))
    network.start_from(weight * 5, bias * 5)
    sure = progress.validation(network, Rows(inputs, y, [], ""))
    assert validation and sure and validation.metrics["log_loss"] != pytest.approx(sure.metrics["log_loss"], rel=1e-3)
    np.testing.assert_allclose(validation.losses, sure.losses, rtol=1e-3)


def test_training_ends_after_an_epoch_with_the_learning_rate_of_all(tiny_encoder: Path) -> None:
    chosen = settings(epochs=3)
    rates = []
    for last in (None, 2):
        network = fresh("text", tiny_encoder, chosen)
        progress = loop.train(network, replace(task("text", chosen), last_epoch=last))
        rates.append([entry["learning_rate"] for entry in progress.history])
        assert progress.kept == len(progress.history)
    assert rates[1] == rates[0][:2] and rates[1][-1] > 0


def test_without_validation_rows_the_last_epoch_is_kept(tiny_encoder: Path) -> None:
    progress = train(fresh("text", tiny_encoder, settings()), "text", settings(), validated=False)
    assert progress.kept == 2 and progress.start == {} and "accuracy" not in progress.history[0]


def test_a_loss_that_is_no_number_stops_with_step_and_learning_rate(tiny_encoder: Path) -> None:
    network = fresh("text", tiny_encoder, settings())
    network.start_from(np.full((2, 32), np.nan), np.zeros(2))
    with pytest.raises(HeadstartError, match=r"diverged at step 1 \(learning rate of the backbone .*lower finetune"):
        train(network, "text", settings())


@pytest.mark.parametrize("modality", ["text", "image"])
def test_passes_and_recomputed_blocks_change_the_memory_and_not_the_weights(
    modality: Modality, tiny_encoder: Path
) -> None:
    chosen = settings(epochs=1)
    ways: dict[str, dict[str, Any]] = {
        "plain": {},
        "passes": {"rows_per_pass": 3},
        "less": {"gradient_checkpointing": True},
    }
    weights = {}
    for name, runtime in ways.items():
        network = fresh(modality, tiny_encoder, chosen)
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        for module in network.modules():
            if hasattr(module, "dropout_prob"):
                module.dropout_prob = 0.0
        train(network, modality, chosen, validated=False, **runtime)
        weights[name] = torch.cat([tensor.flatten().float() for tensor in state(network).values()])
    assert (weights["plain"] - weights["less"]).abs().max() < 1e-6
    assert (weights["plain"] - weights["passes"]).abs().max() < 1e-3 < (weights["plain"]).abs().max()


def test_class_weights_smoothing_and_layer_decay_change_the_weights(tiny_encoder: Path) -> None:
    losses = set()
    for changes in ({}, {"label_smoothing": 0.2}, {"class_weight": "balanced"}, {"layer_decay": 0.1}):
        chosen = settings(epochs=1, **changes)
        network = fresh("text", tiny_encoder, chosen)
        if "layer_decay" in changes:
            groups = optimizer.build(network, chosen).param_groups
            assert sorted({group["lr"] for group in groups}) == pytest.approx([1e-5, 1e-4, 1e-3])
        losses.add(train(network, "text", chosen).history[0]["log_loss"])
    assert len(losses) == 4


def test_balanced_weights_are_one_in_the_mean() -> None:
    y = np.array([0] * 30 + [1] * 10)
    weights = class_weights(y, 3, settings(class_weight="balanced")).numpy()
    np.testing.assert_allclose(weights[:2], [40 / 60, 2])
    assert weights[y].mean() == pytest.approx(1)


@pytest.mark.parametrize("modality", ["text", "image"])
def test_scores_follow_the_weights_that_are_loaded(modality: Modality, tiny_encoder: Path) -> None:
    """Calibration scores the kept epoch, though the optimised copy was made of the last."""
    network = fresh(modality, tiny_encoder, settings())
    inputs, _ = ROWS[modality](10)
    before, weights = network.scores(inputs), {key: value.clone() for key, value in network.state_dict().items()}
    network.load_state_dict({key: value * 1.5 for key, value in weights.items()})
    assert np.abs(network.scores(inputs) - before).max() > 1e-3
    network.load_state_dict(weights)
    np.testing.assert_array_equal(network.scores(inputs), before)
