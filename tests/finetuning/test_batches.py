"""Batches of fine-tuning, and tokens dropped from them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stages.finetuning.batches import Batches
from tests.finetuning.recipes import fresh, settings


def test_batches_are_a_function_of_seed_and_epoch_and_hold_each_row_once() -> None:
    lengths = np.random.default_rng(0).integers(3, 60, 101)
    batches = Batches(lengths.tolist(), batch_size=8, seed=5)
    first = [batches[index] for index in range(len(batches))]
    assert len(batches) == 13 and sorted(row for rows, _ in first for row in rows) == list(range(101))
    assert {len(rows) for rows, _ in first} == {7, 8}, "none is left with a single row"
    assert len({seed for _, seed in first}) == 13
    batches.set_epoch(1)
    assert [batches[index] for index in range(13)] != first
    batches.set_epoch(0)
    assert [batches[index] for index in range(13)] == first
    padding = sum(max(lengths[rows]) * len(rows) for rows, _ in first) / lengths.sum()
    assert padding < 1.2, "rows of similar length are together"
    assert {tuple(rows) for rows, _ in first} != {tuple(rows) for rows, _ in Batches(lengths, batch_size=8, seed=6)}


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
