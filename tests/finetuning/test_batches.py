"""Batches of fine-tuning, and tokens dropped from them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stages.finetuning.batches import Batch, Batches
from stages.finetuning.batches import size as batch_size
from tests.finetuning.recipes import fresh, settings, train

LENGTHS = np.random.default_rng(0).integers(3, 60, 101).tolist()


def epoch(batches: Batches, number: int) -> list[Batch]:
    steps = batches.steps_per_epoch
    return [batches.at(step) for step in range(number * steps, (number + 1) * steps)]


def test_an_epoch_holds_each_row_once_in_batches_of_nearly_one_size() -> None:
    batches = epoch(Batches(LENGTHS, batch_size=8, seed=5), 0)
    assert len(batches) == 13 and sorted(row for batch in batches for row in batch.rows) == list(range(101))
    assert {len(batch.rows) for batch in batches} == {7, 8}, "none is left with a single row"
    assert len({batch.seed for batch in batches}) == 13


def test_batches_are_a_function_of_seed_and_step() -> None:
    batches = Batches(LENGTHS, batch_size=8, seed=5)
    first = epoch(batches, 0)
    assert epoch(batches, 1) != first and epoch(batches, 0) == first
    assert epoch(Batches(LENGTHS, batch_size=8, seed=5), 1) == epoch(batches, 1)
    assert {tuple(batch.rows) for batch in first}.isdisjoint(
        tuple(batch.rows) for batch in epoch(Batches(LENGTHS, batch_size=8, seed=6), 0)
    )


def test_rows_of_similar_length_are_in_one_batch() -> None:
    batches = epoch(Batches(LENGTHS, batch_size=8, seed=5), 0)
    padded = sum(max(LENGTHS[row] for row in batch.rows) * len(batch.rows) for batch in batches)
    assert padded / sum(LENGTHS) < 1.2


def test_processes_share_the_batches_of_an_epoch() -> None:
    alone = epoch(Batches(LENGTHS, batch_size=8, seed=5), 1)
    first, second = (epoch(Batches(LENGTHS, batch_size=8, seed=5, process=n, processes=2), 1) for n in (0, 1))
    assert first == alone[0::2] and second == [*alone[1::2], alone[0]], "of 13 batches the first comes twice"


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


@pytest.mark.parametrize(
    ("rows", "epochs", "min_steps", "size"),
    [
        (66, 6, 48, 8),  # 9 batches an epoch, 54 steps
        (150, 6, 48, 18),
        (847, 6, 48, 32),  # of many rows, batches stay as they are
        (18, 6, 48, 8),  # never smaller than 8: 18 steps
        (66, 40, 48, 32),
        (66, 6, 0, 32),
    ],
)
def test_few_rows_are_cut_into_smaller_batches(rows: int, epochs: int, min_steps: int, size: int) -> None:
    chosen = settings(batch_size=32, epochs=epochs, min_steps=min_steps)
    assert batch_size(chosen, rows) == size
    assert batch_size(chosen.model_copy(update={"batch_size": 4}), rows) == 4


def test_a_run_takes_the_steps_that_are_asked(tiny_encoder: Path) -> None:
    chosen = settings(batch_size=32, epochs=2, min_steps=10)
    assert train(fresh("text", tiny_encoder, chosen), "text", chosen).step == 10
