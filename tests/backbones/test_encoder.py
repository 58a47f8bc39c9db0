"""What encoders of texts and images share."""

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages import backbones
from stages.backbones import encoder as encoder_module
from stages.backbones import text
from stages.backbones.encoder import affordable
from stages.common import heap
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


def test_freed_memory_is_given_back_after_every_few_batches(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []
    monkeypatch.setattr(heap, "give_back", lambda: given.append(encoder._batches))
    monkeypatch.setattr(encoder_module, "BATCHES_PER_TRIM", 3)
    encoder: Any = backbones.load(
        BackboneParams(family="transformers", name=str(tiny_encoder)),
        ExtractParams(max_length=64),
        RuntimeParams(device="cpu"),
        modality="text",
    )
    for _ in range(4):  # also over calls of few batches, as of a server
        encoder.encode(["good " * (1 + row % 40) for row in range(300)])
    assert encoder._batches >= 8 and given == list(range(3, encoder._batches + 1, 3))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps freed memory in pieces")
def test_freed_pieces_are_given_back() -> None:
    run = subprocess.run([sys.executable, "-c", PIECES], capture_output=True, text=True, check=True)
    kept, left = map(int, run.stdout.split())
    assert left < kept / 4, "bytes"


PIECES = """
import numpy as np
from stages.common import heap
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * 4096
before = resident()
arrays = [np.ones(12_000) for _ in range(2_000)]  # below the size for which the system gives pages of their own
last = [np.ones(10) for _ in range(10)]
del arrays[:-1]
kept = resident() - before
heap.give_back()
print(kept, resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc returns large arrays at once")
def test_memory_of_large_arrays_is_kept_with_an_image_encoder() -> None:
    run = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=True)
    before, after, resident = map(int, run.stdout.split())
    assert after < before / 10, "pages that the system cleared"
    assert resident < 64 << 20, "and all that is free is given back"


LARGE = """
import resource
import torch
from stages import backbones
from stages.common import heap
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams

def cleared():
    start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.zeros(80 << 20, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start

resident = lambda: int(open("/proc/self/statm").read().split()[1]) * 4096
cleared_before = cleared()
spec = BackboneParams(family="torchvision", name="squeezenet1_1", weights="random")
backbones.load(spec, ExtractParams(image_size=32), RuntimeParams(device="cpu"), modality="image")
at_start, _ = resident(), cleared()
cleared_after = cleared()
heap.give_back()
print(cleared_before, cleared_after, resident() - at_start)
"""


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
