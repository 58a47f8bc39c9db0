"""Measure image extraction against a plain loop of torchvision and a DataLoader, and against the machine's limit.

    python -m tests.benchmarks.images [MODEL] [ROUNDS] [ROWS]

MODEL (resnet18) has random weights, which take as long as pretrained ones. The plain loop is eager and NCHW, decodes in
two worker processes, and gets the same JPEGs of 500 x 375 pixels in batches of 32. The limit is 2 operations per
multiplication of the network, at the speed of a large matrix product in the same run.
"""

import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from stages import backbones
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams
from tests.benchmarks import arguments, pair
from tests.benchmarks.photos import draw


def ours(name: str, photos: list[bytes], device: str = "cpu") -> Callable[[], np.ndarray]:
    encoder = _encoder(name, device)
    return lambda: encoder.encode(photos)


def theirs(name: str, photos: list[bytes], device: str = "cpu") -> Callable[[], np.ndarray]:
    encoder = _encoder(name, device)
    model, preprocess = encoder.body, encoder.preprocessing  # type: ignore[attr-defined]

    class Photos(torch.utils.data.Dataset[torch.Tensor]):
        def __len__(self) -> int:
            return len(photos)

        def __getitem__(self, row: int) -> torch.Tensor:
            return preprocess(Image.open(io.BytesIO(photos[row])).convert("RGB"))

    def run() -> np.ndarray:
        batches = DataLoader(Photos(), batch_size=32, num_workers=2, multiprocessing_context="fork")
        with torch.inference_mode():
            return torch.cat([model(batch.to(device)).cpu() for batch in batches]).numpy()

    return run


def _encoder(name: str, device: str = "cpu") -> backbones.Backbone:
    spec = BackboneParams(family="torchvision", name=name, revision=None, weights="random")
    return backbones.load(spec, ExtractParams(normalize=False), RuntimeParams(device=device), modality="image")


def main() -> None:
    args = arguments.parse(__doc__, model="resnet18", rounds=5, rows=256)
    name, rows = args.model, args.rows
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), rows)
        photos = [path.read_bytes() for path in sorted(Path(folder).rglob("*.jpg"))]
    seconds, (X, Y) = pair.alternate(ours, theirs, name, photos, rounds=args.rounds)
    encoder = _encoder(name)
    size = encoder.preprocessing.size  # type: ignore[attr-defined]
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        encoder.body(torch.zeros(1, 3, size, size))  # type: ignore[attr-defined]
    fastest = min(seconds[0])
    share = counter.get_total_flops() * rows / fastest / 1e9 / pair.gflops()
    error = np.linalg.norm(X - Y, axis=1) / np.linalg.norm(Y, axis=1)
    print(f"{name}: {rows:,} photos, {args.rounds} rounds")
    print(f"ours   {rows / fastest:7.1f} images/s, {share:.0%} of the matrix-product limit")
    print(f"theirs {rows / min(seconds[1]):7.1f} images/s")
    print(f"ratio  {pair.ratio(seconds):7.2f}, largest relative difference of a vector {error.max():.1e}")


if __name__ == "__main__":
    main()
