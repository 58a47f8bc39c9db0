"""Extraction on an accelerator: speed, the share of the time that it waits, and both against the libraries' own loops.

    pip install sentence-transformers
    python -m tests.benchmarks.gpu TABLE.csv [ROUNDS] [TEXTS] [IMAGES]

TABLE has a column `text`. The device waits where none of its kernels runs between the first and the last of a call.
"""

import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pyarrow import csv
from torch.profiler import ProfilerActivity, profile

from tests.benchmarks import images, pair, texts
from tests.benchmarks.photos import draw


def waiting(run: Callable[[], object]) -> float:
    """The share of a call's time in which the device is idle."""
    with profile(activities=[ProfilerActivity.CUDA]) as recorded:
        run()
        torch.accelerator.synchronize()
    spans = sorted(
        (event.start_ns(), event.start_ns() + event.duration_ns())
        for event in recorded.profiler.kineto_results.events()
        if event.device_type() == torch.autograd.DeviceType.CUDA
    )
    busy, end = 0, spans[0][0]
    for start, stop in spans:
        busy += max(stop - max(start, end), 0)
        end = max(end, stop)
    return 1 - busy / (end - spans[0][0])


def main() -> None:
    if not torch.cuda.is_available():
        raise SystemExit("error: no CUDA device; this benchmark needs one")
    path = Path(sys.argv[1])
    rounds, text_rows, image_rows = (
        int((sys.argv[place:] or [default])[0]) for place, default in ((2, "5"), (3, "10000"), (4, "2048"))
    )
    rows = csv.read_csv(path)["text"].to_pylist()
    random.Random(0).shuffle(rows)
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), image_rows)
        photos = [each.read_bytes() for each in sorted(Path(folder).rglob("*.jpg"))]
    print(torch.cuda.get_device_name())
    for name, ours, theirs, inputs in (
        ("MiniLM, texts", texts.ours, texts.theirs, (rows[:text_rows], "cuda")),
        ("resnet50, images", images.ours, images.theirs, ("resnet50", photos, "cuda")),
    ):
        seconds, (X, Y) = pair.alternate(ours, theirs, *inputs, rounds=rounds)
        cosine = (X * Y).sum(axis=1) / np.linalg.norm(X, axis=1) / np.linalg.norm(Y, axis=1)
        run = ours(*inputs)
        run()
        print(
            f"{name}: ours {len(X) / min(seconds[0]):,.0f}/s, theirs {len(X) / min(seconds[1]):,.0f}/s,"
            f" ratio {pair.ratio(seconds):.2f}, lowest cosine {cosine.min():.6f}, the device waits {waiting(run):.0%}"
        )


if __name__ == "__main__":
    main()
