"""Measure how much time the decoder's own down-scaling saves prepare on large JPEGs, and how far it moves the vectors.

    python -m tests.benchmarks.large_photos FOLDER WEIGHTS.safetensors [COUNT]

Scales the first COUNT (40) JPEGs of FOLDER up eight times, with grain, and packs them to 512 pixels with and without
down-scaling in the decoder. WEIGHTS are those of torchvision's squeezenet1_1, pretrained on ImageNet. For comparison,
it prints how far encoding the packed picture as JPEG moves the vectors.
"""

import io
import time
from pathlib import Path

import numpy as np
from PIL import Image

from stages import backbones
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams
from stages.tables import images
from tests.benchmarks import arguments

MAX_SIDE = 512


def enlarged(path: Path) -> bytes:
    picture = images.decode(path.read_bytes())
    picture = picture.resize((picture.width * 8, picture.height * 8), Image.Resampling.LANCZOS)
    grain = np.random.default_rng(0).normal(0, 8, (picture.height, picture.width, 3))
    out = io.BytesIO()
    Image.fromarray((np.asarray(picture) + grain).clip(0, 255).astype(np.uint8)).save(out, "JPEG", quality=90)
    return out.getvalue()


def packed(photos: list[bytes], margin: int) -> tuple[float, list[bytes]]:
    """Pack photos as `images.pack` does, but without JPEG encoding; give the seconds and the pictures."""
    images.MARGIN = margin
    start = time.perf_counter()
    out = []
    for photo in photos:
        picture = images.decode(photo, side=MAX_SIDE)
        picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS, reducing_gap=None)
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", compress_level=0)
        out.append(buffer.getvalue())
    return time.perf_counter() - start, out


def again_as_jpeg(photo: bytes) -> bytes:
    out = io.BytesIO()
    images.decode(photo).save(out, "JPEG", quality=images.JPEG_QUALITY, subsampling=0)
    return out.getvalue()


def main() -> None:
    args = arguments.parse(__doc__, folder=Path, weights=Path, count=40)
    photos = [enlarged(path) for path in sorted(args.folder.rglob("*.jpg"))[: args.count]]
    spec = BackboneParams(family="torchvision", name="squeezenet1_1", weights=str(args.weights))
    encoder = backbones.load(spec, ExtractParams(normalize=False), RuntimeParams(device="cpu"), modality="image")
    fast, scaled = packed(photos, images.MARGIN)
    slow, whole = packed(photos, 10**6)
    X = encoder.encode(whole)
    assert isinstance(X, np.ndarray)
    print(f"{len(photos)} photos, the first of {Image.open(io.BytesIO(photos[0])).size} pixels")
    print(f"decoder scales: {fast:.1f} s, decoded whole: {slow:.1f} s, ratio {slow / fast:.1f}")
    for name, others in (("decoder's scaling", scaled), ("JPEG encoding", [again_as_jpeg(photo) for photo in whole])):
        change = np.linalg.norm(encoder.encode(others) - X, axis=1) / np.linalg.norm(X, axis=1)
        print(f"{name} moves the vectors by {np.median(change):.1%} (median), {change.max():.1%} at most")


if __name__ == "__main__":
    main()
