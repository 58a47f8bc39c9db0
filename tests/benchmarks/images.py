"""Measure image extraction against a plain loop of torchvision and a DataLoader and against other engines, and against
the machine's limit.

    pip install openvino onnx onnxruntime onnxscript
    python -m tests.benchmarks.images [MODEL] [ROUNDS] [ROWS]

MODEL (resnet18) has random weights, which take as long as pretrained ones. The plain loop is eager and NCHW, decodes in
two worker processes, and gets the same JPEGs of 500 x 375 pixels in batches of 32. The engines get the batches that
Headstart gets; `plain` and `packed` are Headstart with linear layers by torch and by oneDNN. The limit is 2 operations
per multiplication of the network, at the best float32 product of any of the libraries in the same run.
"""

import io
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from stages.backbones import torchvision
from stages.backbones.image import ImageEncoder
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams
from tests.benchmarks import arguments, engines, pair
from tests.benchmarks.photos import draw


def ours(name: str, photos: list[bytes], device: str = "cpu", engine: str = "") -> Callable[[], np.ndarray]:
    encoder = _encoder(name, device)
    if engine:
        engines.install(encoder, engine, next(iter(encoder.batches(photos))).content)
    return lambda: encoder.encode(photos)


def theirs(name: str, photos: list[bytes], device: str = "cpu") -> Callable[[], np.ndarray]:
    encoder = _encoder(name, device)
    model, preprocess = encoder.body, encoder.preprocessing

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


def _encoder(name: str, device: str = "cpu") -> ImageEncoder:
    spec = BackboneParams(family="torchvision", name=name, revision=None, weights="random")
    return torchvision.load(spec, ExtractParams(normalize=False), RuntimeParams(device=device))


def main() -> None:
    args = arguments.parse(__doc__, model="resnet18", rounds=5, rows=256)
    name, rows = args.model, args.rows
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), rows)
        photos = [path.read_bytes() for path in sorted(Path(folder).rglob("*.jpg"))]
    sides = {"Headstart": ours, "torchvision": theirs}
    sides |= {name: partial(ours, engine=name) for name in ("plain", "packed", *engines.installed())}
    seconds, vectors = pair.alternate(*sides.values(), arguments=(name, photos), rounds=args.rounds)
    encoder = _encoder(name)
    size = encoder.preprocessing.size
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        encoder.body(torch.zeros(1, 3, size, size))
    print(f"{name}: {rows:,} photos, {args.rounds} rounds")
    operations = counter.get_total_flops() * rows
    engines.print_table(list(sides), seconds, vectors, unit="images/s", operations=operations)


if __name__ == "__main__":
    main()
