"""What encoders of texts and images share."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stages import backbones
from stages.backbones import text
from stages.backbones.encoder import affordable
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams


def test_a_batch_for_each_core_changes_no_bit_and_no_setting(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["good " * (1 + row % 40) + "movie " * (row % 7) for row in range(300)]
    encoder = backbones.load(
        BackboneParams(family="transformers", name=str(tiny_encoder)),
        ExtractParams(max_length=64),
        RuntimeParams(device="cpu"),
        modality="text",
    )
    threads = torch.get_num_threads()
    together = encoder.encode(texts)
    monkeypatch.setattr(text.TextEncoder, "batch_per_core", False)
    np.testing.assert_array_equal(together, encoder.encode(texts))
    monkeypatch.setattr(text.TextEncoder, "batch_per_core", True)
    stream = encoder.stream(texts)  # type: ignore[attr-defined]
    next(stream)
    stream.close()  # as a reader that fails half-way
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(("free", "tokens"), [(80e9, 65_536), (4e9, 32_768), (4.3e9, 32_768), (1e8, 512), (1_000, 1)])
def test_batches_on_an_accelerator_fit_its_free_memory(
    free: float, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.accelerator, "get_memory_info", lambda device: (int(free), int(80e9)))
    assert affordable(torch.device("cuda"), bytes_per_item=64 * 384, limit=65_536) == tokens


def test_an_accelerator_that_does_not_tell_its_memory_gets_the_usual_batch() -> None:
    # This machine has none at all, or the wrong one.
    kind = "mps" if torch.cuda.is_available() else "cuda"
    assert affordable(torch.device(kind), bytes_per_item=1, limit=256) == 256
