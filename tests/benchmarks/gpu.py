"""Measure extraction on a GPU against the libraries' own loops: speed, and the share of the time that the GPU idles.

    pip install sentence-transformers
    python -m tests.benchmarks.gpu TABLE.csv [ROUNDS] [TEXTS] [IMAGES]

TABLE has a column `text`. The GPU idles where none of its kernels runs, between the first and the last one of a call.
"""

import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pyarrow import csv
from torch.profiler import ProfilerActivity, profile

from tests.benchmarks import arguments, images, pair, texts
from tests.benchmarks.photos import draw


def idle_share(run: Callable[[], object]) -> float:
    """Measure the share of a call's time in which the GPU idles."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        run()
        torch.accelerator.synchronize()
    spans = sorted(
        (event.start_ns(), event.start_ns() + event.duration_ns())
        for event in profiled.profiler.kineto_results.events()
        if event.device_type() == torch.autograd.DeviceType.CUDA
    )
    busy, end = 0, spans[0][0]
    for start, stop in spans:
        busy += max(stop - max(start, end), 0)
        end = max(end, stop)
    return 1 - busy / (end - spans[0][0])


def main() -> None:
    args = arguments.parse(__doc__, table=Path, rounds=5, texts=10_000, images=2_048)
    if not torch.cuda.is_available():
        raise SystemExit("error: no CUDA device; this benchmark needs one")
    rows = csv.read_csv(args.table)["text"].to_pylist()
    random.Random(0).shuffle(rows)
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), args.images)
        photos = [path.read_bytes() for path in sorted(Path(folder).rglob("*.jpg"))]
    print(torch.cuda.get_device_name())
    for name, ours, theirs, inputs in (
        ("MiniLM, texts", texts.ours, texts.theirs, (rows[: args.texts], "cuda")),
        ("resnet50, images", images.ours, images.theirs, ("resnet50", photos, "cuda")),
    ):
        seconds, (X, Y) = pair.alternate(ours, theirs, arguments=inputs, rounds=args.rounds)
        cosine = (X * Y).sum(axis=1) / np.linalg.norm(X, axis=1) / np.linalg.norm(Y, axis=1)
        run = ours(*inputs)
        run()
        print(
            f"{name}: ours {len(X) / min(seconds[0]):,.0f}/s, theirs {len(X) / min(seconds[1]):,.0f}/s,"
            f" ratio {pair.ratio(*seconds):.2f}, lowest cosine {cosine.min():.6f}, the GPU idles {idle_share(run):.0%}"
        )


if __name__ == "__main__":
    main()
