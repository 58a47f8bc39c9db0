"""The fine-tuning recipe in this process, on a tiny encoder of texts and one of images."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from stages import backbones
from stages.backbones import blocks, onednn
from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, ExtractParams, FinetuneParams, Modality, RuntimeParams
from stages.finetuning import classifier, loop, lora
from stages.finetuning.batches import Batches
from stages.finetuning.classifier import Classifier
from stages.finetuning.contrast import Memory
from stages.finetuning.progress import Progress
from stages.heads.model_card import ModelCard

WORDS = ["i", "this", "product", "is", "the", "a", "movie"]
LABELS = ("bad", "good")
SQUEEZENET = BackboneParams(family="torchvision", name="squeezenet1_1", weights="random")
SMALL = {"text": ExtractParams(max_length=32), "image": ExtractParams(image_size=32)}


def texts(rows: int) -> tuple[list[Any], np.ndarray]:
    generator = np.random.default_rng(0)
    y = generator.integers(0, 2, rows)
    return [
        " ".join([*generator.choice(WORDS, generator.integers(2, 12)), "love" if each else "hate"]) for each in y
    ], y


def pictures(rows: int) -> tuple[list[Any], np.ndarray]:
    generator = np.random.default_rng(0)
    y = generator.integers(0, 2, rows)
    out = []
    for each in y:
        file = io.BytesIO()
        values = generator.integers(0, 100, (32, 32, 3)) + 150 * np.eye(3, dtype=int)[each]
        Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(file, "PNG")
        out.append(file.getvalue())
    return out, y


ROWS: dict[Modality, Callable[[int], tuple[list[Any], np.ndarray]]] = {"text": texts, "image": pictures}


def spec(modality: Modality, tiny: Path) -> BackboneParams:
    return BackboneParams(family="transformers", name=str(tiny)) if modality == "text" else SQUEEZENET


def fresh(modality: Modality, tiny: Path, settings: FinetuneParams) -> Classifier:
    """A classifier whose last layer starts from a fixed one, as it starts from a head."""
    encoder = backbones.load_encoder(spec(modality, tiny), SMALL[modality], RuntimeParams(device="cpu"), modality)
    network = Classifier(encoder, LABELS)
    network.start_from(np.random.default_rng(1).normal(0, 0.1, (2, encoder.dim)), np.zeros(2))
    network.adapt(settings)
    return network


def train(
    network: Classifier, modality: Modality, settings: FinetuneParams, *, validated: bool = True, **runtime: Any
) -> Progress:
    inputs, y = ROWS[modality](40)
    held_out, truth = inputs[:20], y[:20]

    def validate() -> dict[str, float]:
        P = network.probabilities(held_out)
        found = {"accuracy": (P.argmax(axis=1) == truth).mean(), "log_loss": -np.log(P[np.arange(20), truth]).mean()}
        return {name: float(value) for name, value in found.items()} if validated else {}

    device = RuntimeParams(device="cpu", **runtime)
    return loop.train(network, inputs, y, settings, device, from_random=False, validate=validate, run="a test")


def settings(**changes: Any) -> FinetuneParams:
    options = {"method": "full", "epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "patience": None}
    return FinetuneParams(**{**options, **changes})


def state(network: Classifier) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.encoder.body.state_dict().items()}


def test_batches_are_a_function_of_seed_and_epoch_and_hold_each_row_once() -> None:
    lengths = np.random.default_rng(0).integers(3, 60, 101)
    batches = Batches(lengths.tolist(), batch_size=8, seed=5)
    first = [batches[place] for place in range(len(batches))]
    assert len(batches) == 13 and sorted(row for rows, _ in first for row in rows) == list(range(101))
    assert {len(rows) for rows, _ in first} == {7, 8}, "none is left with a single row"
    assert len({seed for _, seed in first}) == 13
    batches.set_epoch(1)
    assert [batches[place] for place in range(13)] != first
    batches.set_epoch(0)
    assert [batches[place] for place in range(13)] == first
    padding = sum(max(lengths[rows]) * len(rows) for rows, _ in first) / lengths.sum()
    assert padding < 1.2, "rows of similar length are together"
    assert {tuple(rows) for rows, _ in first} != {tuple(rows) for rows, _ in Batches(lengths, batch_size=8, seed=6)}


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
        assert changed and changed <= set(blocks.last(network.encoder.body))
    elif method == "lora":
        assert changed and all("lora_" in name for name in changed)
    else:
        assert len(changed) > len(before) / 2

    network.save(tmp_path, method=method)
    if method == "lora":
        size = (tmp_path / lora.WEIGHTS_FILE).stat().st_size
        assert not (tmp_path / "model.safetensors").exists()
        assert size < sum(4 * tensor.numel() for tensor in before.values())
    described = ModelCard(
        method=method,
        labels=LABELS,
        input="x",
        modality=modality,
        max_side=None,
        backbone=spec(modality, tiny_encoder),
        extract=SMALL[modality],
        fingerprint=network.encoder.fingerprint,
        temperature=1.0,
        validation_temperature=1.0,
        chosen={},
        training={},
        versions={},
    )
    loaded = classifier.load(tmp_path, described, RuntimeParams(device="cpu"))
    np.testing.assert_allclose(loaded.probabilities(inputs), network.probabilities(inputs), atol=1e-5)
    assert not any("lora" in name for name, _ in loaded.encoder.body.named_modules()), "merged"


@pytest.mark.parametrize("modality", ["text", "image"])
def test_a_run_that_broke_off_goes_on_to_the_same_weights(
    modality: Modality, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(epochs=3)  # of five steps
    whole = fresh(modality, tiny_encoder, chosen)
    train(whole, modality, chosen)

    class KilledError(Exception):
        pass

    def killed(self: Progress, args: Any, state: Any, control: Any, **of: Any) -> None:
        end_of_step(self, args, state, control, **of)
        if state.global_step == 13:
            raise KilledError

    end_of_step = Progress.on_step_end
    monkeypatch.setattr(Progress, "on_step_end", killed)
    with pytest.raises(KilledError):
        train(fresh(modality, tiny_encoder, chosen), modality, chosen, checkpoint_steps=4)
    monkeypatch.setattr(Progress, "on_step_end", end_of_step)
    resumed = fresh(modality, tiny_encoder, chosen)
    assert train(resumed, modality, chosen, checkpoint_steps=4).step == 15
    assert all(tensor.equal(resumed.state_dict()[name]) for name, tensor in whole.state_dict().items())


def test_an_adapter_of_another_backbone_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    network = fresh("text", tiny_encoder, settings(method="lora"))
    network.save(tmp_path, method="lora")
    other = backbones.load_encoder(SQUEEZENET, SMALL["image"], RuntimeParams(device="cpu"), "image")
    with pytest.raises(HeadstartError, match=r"the adapter in .* cannot be loaded .*; run `dvc repro finetune`"):
        lora.load(other.body, tmp_path)
    (tmp_path / lora.WEIGHTS_FILE).write_bytes(b"damaged")
    with pytest.raises(HeadstartError, match="cannot be loaded"):
        lora.load(fresh("text", tiny_encoder, settings()).encoder.body, tmp_path)


def test_what_is_no_better_on_validation_is_not_kept(tiny_encoder: Path) -> None:
    network = fresh("text", tiny_encoder, settings())
    before = state(network)
    accuracies = iter([0.9, 0.9, 0.8, 0.7])  # before the first epoch, and after each
    inputs, y = texts(40)
    progress = loop.train(
        network,
        inputs,
        y,
        settings(epochs=6, patience=2),
        RuntimeParams(device="cpu"),
        from_random=False,
        validate=lambda: {"accuracy": next(accuracies), "log_loss": 0.3},
        run="falls",
    )
    assert progress.kept == 0 and len(progress.history) == 2, "stopped early"
    assert all(tensor.equal(before[name]) for name, tensor in network.encoder.body.state_dict().items())


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
    found = {}
    for name, runtime in ways.items():
        network = fresh(modality, tiny_encoder, chosen)
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        for module in network.modules():
            if hasattr(module, "dropout_prob"):
                module.dropout_prob = 0.0
        train(network, modality, chosen, validated=False, **runtime)
        found[name] = torch.cat([tensor.flatten().float() for tensor in state(network).values()])
    assert (found["plain"] - found["less"]).abs().max() < 1e-6
    assert (found["plain"] - found["passes"]).abs().max() < 1e-3 < (found["plain"]).abs().max()


def test_class_weights_smoothing_and_layer_decay_change_what_is_learned(tiny_encoder: Path) -> None:
    losses = set()
    for changes in ({}, {"label_smoothing": 0.2}, {"class_weight": "balanced"}, {"layer_decay": 0.1}):
        chosen = settings(epochs=1, **changes)
        network = fresh("text", tiny_encoder, chosen)
        if "layer_decay" in changes:
            groups = loop.optimizer.build(network, chosen).param_groups
            assert sorted({group["lr"] for group in groups}) == pytest.approx([1e-5, 1e-4, 1e-3])
        losses.add(train(network, "text", chosen).history[0]["log_loss"])
    assert len(losses) == 4


def test_balanced_weights_are_one_in_the_mean() -> None:
    y = np.array([0] * 30 + [1] * 10)
    weights = loop._class_weights(y, 3, settings(class_weight="balanced")).numpy()
    np.testing.assert_allclose(weights[:2], [40 / 60, 2])
    assert weights[y].mean() == pytest.approx(1)


def test_the_contrastive_loss_is_that_of_its_formula() -> None:
    generator = np.random.default_rng(0)
    X, y = generator.normal(size=(6, 4)).astype(np.float32), np.array([0, 0, 1, 1, 1, 2])
    memory = Memory(lambda: X, torch.from_numpy(y), temperature=0.5)
    memory.refresh(0)
    Z = generator.normal(size=(3, 4)).astype(np.float32)
    rows = [1, 3, 5]
    found = memory.losses(torch.from_numpy(Z), torch.tensor(rows)).numpy()
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    for row, z, loss in zip(rows, Z / np.linalg.norm(Z, axis=1, keepdims=True), found, strict=True):
        others = [other for other in range(6) if other != row]
        powers = {other: np.exp(z @ unit[other] / 0.5) for other in others}
        same = [other for other in others if y[other] == y[row]]
        wanted = -np.mean([np.log(powers[other] / sum(powers.values())) for other in same]) if same else 0
        assert loss == pytest.approx(wanted, abs=1e-5)
    np.testing.assert_allclose(memory.vectors[rows], Z / np.linalg.norm(Z, axis=1, keepdims=True), atol=1e-6)
    before = memory.vectors
    memory.refresh(0)
    assert memory.vectors is before, "a run that goes on within an epoch keeps what it had"


@pytest.mark.parametrize("modality", ["text", "image"])
def test_contrastive_training_ends_with_a_head_on_its_features(modality: Modality, tiny_encoder: Path) -> None:
    chosen = settings(contrastive=1.0, token_dropout=0.2 if modality == "text" else 0, learning_rate=3e-4)
    network = fresh(modality, tiny_encoder, chosen)
    progress = train(network, modality, chosen)
    assert progress.kept and progress.history[progress.kept - 1]["accuracy"] == 1 > progress.start["accuracy"]


def test_dropped_tokens_are_the_asked_share_and_never_special(tiny_encoder: Path) -> None:
    encoder = fresh("text", tiny_encoder, settings()).encoder
    encoder.prepare_training(settings(token_dropout=0.3), from_random=False)
    rows = encoder.training_rows(["good bad movie product " * 7] * 200)
    torch.manual_seed(0)
    batch = encoder.training_batch(rows)
    assert (batch["input_ids"][:, 0] == rows[0]["input_ids"][0]).all()
    assert ((batch["input_ids"] == rows[0]["input_ids"][-1]).sum(dim=1) == 1).all()
    kept = (batch["attention_mask"].sum() - 400) / (200 * (len(rows[0]["input_ids"]) - 2))
    assert float(kept) == pytest.approx(0.7, abs=0.02)
    encoder.prepare_training(settings(), from_random=False)
    assert encoder.training_batch(rows)["input_ids"].shape == (200, len(rows[0]["input_ids"]))


def test_a_linear_layer_by_onednn_has_the_gradients_of_torch() -> None:
    torch.manual_seed(0)
    plain = nn.Linear(24, 40)
    fast = onednn.TrainableLinear(plain)
    outputs = []
    for layer in (plain, fast):
        plain.zero_grad()
        x = torch.arange(2 * 5 * 24, dtype=torch.float32).reshape(2, 5, 24).div(240).requires_grad_()
        out = layer(x)
        out.pow(2).sum().backward()
        assert plain.weight.grad is not None and plain.bias.grad is not None and x.grad is not None
        outputs.append([out.detach(), x.grad, plain.weight.grad.clone(), plain.bias.grad.clone()])
    for one, other in zip(*outputs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "count", "first_of_last"),
    [
        ("resnet18", 6, "layer4.0.conv1.weight"),
        ("vgg11", 8, "features.16.weight"),
        ("squeezenet1_1", 9, "features.12.squeeze.weight"),
        ("vit_b_32", 12, "encoder.layers.encoder_layer_11.ln_1.weight"),
        ("convnext_tiny", 8, "features.7.0.layer_scale"),
        ("mobilenet_v2", 19, "features.17.conv.0.0.weight"),
    ],
)
def test_the_blocks_of_networks_are_found_without_knowing_them(name: str, count: int, first_of_last: str) -> None:
    import torchvision

    from stages.backbones.torchvision import without_classifier

    body, _ = without_classifier(torchvision.models.get_model(name))
    assert len(blocks.names(body)) == count
    assert blocks.last(body)[0] == first_of_last
    depths = [*blocks.depths(body).values()]
    assert depths == sorted(depths, reverse=True) and depths[-1] == 0 and depths[0] in (count - 1, count)
