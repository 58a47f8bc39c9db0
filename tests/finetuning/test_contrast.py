"""The contrastive loss."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.common.params import Modality
from stages.finetuning.contrast import Memory
from tests.finetuning.recipes import fresh, settings, train
from tests.projects import run, set_params


def test_the_contrastive_loss_is_that_of_its_formula() -> None:
    generator = np.random.default_rng(0)
    X, y = generator.normal(size=(6, 4)).astype(np.float32), np.array([0, 0, 1, 1, 1, 2])
    memory = Memory(lambda: X, torch.from_numpy(y), temperature=0.5)
    memory.refresh(0)
    Z = generator.normal(size=(3, 4)).astype(np.float32)
    rows = [1, 3, 5]
    losses = memory.losses(torch.from_numpy(Z), torch.tensor(rows)).numpy()
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    for row, z, loss in zip(rows, Z / np.linalg.norm(Z, axis=1, keepdims=True), losses, strict=True):
        others = [other for other in range(6) if other != row]
        powers = {other: np.exp(z @ unit[other] / 0.5) for other in others}
        same = [other for other in others if y[other] == y[row]]
        wanted = -np.mean([np.log(powers[other] / sum(powers.values())) for other in same]) if same else 0
        assert loss == pytest.approx(wanted, abs=1e-5)
    np.testing.assert_allclose(memory.vectors[rows], Z / np.linalg.norm(Z, axis=1, keepdims=True), atol=1e-6)
    before = memory.vectors
    memory.refresh(0)
    assert memory.vectors is before, "within an epoch nothing is computed anew"


def losses_of(y: torch.Tensor, batch: list[int]) -> np.ndarray:
    generator = np.random.default_rng(0)
    X, Z = (generator.normal(size=(rows, 4)).astype(np.float32) for rows in (len(y), len(batch)))
    memory = Memory(lambda: X, y, temperature=0.5)
    memory.refresh(0)
    return memory.losses(torch.from_numpy(Z), torch.tensor(batch)).numpy()


def test_rows_of_several_labels_are_drawn_together_by_what_they_share() -> None:
    Y = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0]], dtype=bool)
    losses = losses_of(torch.from_numpy(Y), [0, 4])
    generator = np.random.default_rng(0)
    X, Z = (generator.normal(size=(rows, 4)).astype(np.float32) for rows in (5, 2))
    powers = np.exp(Z[0] / np.linalg.norm(Z[0]) @ (X / np.linalg.norm(X, axis=1, keepdims=True)).T / 0.5)
    logs = np.log(powers / powers[1:].sum())
    assert losses[0] == pytest.approx(-(1 / 2 * logs[1] + 2 / 3 * logs[3]) / (1 / 2 + 2 / 3), abs=1e-5)
    assert losses[1] == 0, "a row without labels is drawn to none"


def test_one_label_for_every_row_is_the_same_in_both_forms() -> None:
    y = torch.tensor([0, 0, 1, 1, 1, 2])
    np.testing.assert_array_equal(losses_of(y, [1, 3, 5]), losses_of(torch.eye(3, dtype=torch.bool)[y], [1, 3, 5]))


@pytest.mark.parametrize("modality", ["text", "image"])
def test_contrastive_training_ends_with_a_head_on_its_features(modality: Modality, tiny_encoder: Path) -> None:
    chosen = settings(contrastive=1.0, token_dropout=0.2 if modality == "text" else 0, learning_rate=3e-4)
    network = fresh(modality, tiny_encoder, chosen)
    progress = train(network, modality, chosen)
    assert progress.kept and progress.history[progress.kept - 1]["accuracy"] == 1 > progress.start["accuracy"]


@pytest.mark.slow
def test_training_without_it_imports_neither_scikit_learn_nor_peft(trained: Path) -> None:
    set_params(trained, finetune__method="full", finetune__epochs=1)
    code = "import sys; sys.argv[1:] = [f'data/{name}' for name in ('prepared', 'features', 'head', 'finetuned')]; "
    code += "from stages import finetune; finetune.main(); print({'sklearn', 'peft'} & set(sys.modules))"
    assert run(trained, sys.executable, "-c", code).stdout.endswith("set()\n")
