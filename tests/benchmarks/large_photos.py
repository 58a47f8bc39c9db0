"""What the decoder's own down-scaling saves prepare on large JPEGs, and how far it moves the vectors.

    python -m tests.benchmarks.large_photos FOLDER WEIGHTS.safetensors [COUNT]

Scales the first COUNT (40) JPEGs of FOLDER up eight times, with grain, and packs them to 512 pixels with and without
it. WEIGHTS are those of torchvision's squeezenet1_1, pretrained on ImageNet. For scale: how far encoding the packed
picture as JPEG moves them.
"""

import io
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from stages import backbones
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams
from stages.tables import images

MAX_SIDE = 512


def enlarged(path: Path) -> bytes:
    picture = images.decode(path.read_bytes())
    picture = picture.resize((picture.width * 8, picture.height * 8), Image.Resampling.LANCZOS)
    grain = np.random.default_rng(0).normal(0, 8, (picture.height, picture.width, 3))
    out = io.BytesIO()
    Image.fromarray((np.asarray(picture) + grain).clip(0, 255).astype(np.uint8)).save(out, "JPEG", quality=90)
    return out.getvalue()


def packed(photos: list[bytes], margin: int) -> tuple[float, list[bytes]]:
    """Seconds, and what `images.pack` makes of the photos, but without its JPEG encoding."""
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
    folder, weights = map(Path, sys.argv[1:3])
    count = int((sys.argv[3:] or ["40"])[0])
    photos = [enlarged(path) for path in sorted(folder.rglob("*.jpg"))[:count]]
    spec = BackboneParams(family="torchvision", name="squeezenet1_1", weights=str(weights))
    encoder = backbones.load(spec, ExtractParams(normalize=False), RuntimeParams(device="cpu"), modality="image")
    fast, scaled = packed(photos, images.MARGIN)
    slow, whole = packed(photos, 10**6)
    X = encoder.encode(whole)
    assert isinstance(X, np.ndarray)
    print(f"{len(photos)} photos, the first of {Image.open(io.BytesIO(photos[0])).size} pixels")
    print(f"decoder scales: {fast:.1f} s, decoded whole: {slow:.1f} s, ratio {slow / fast:.1f}")
    for what, others in (("decoder's scaling", scaled), ("JPEG encoding", [again_as_jpeg(each) for each in whole])):
        change = np.linalg.norm(encoder.encode(others) - X, axis=1) / np.linalg.norm(X, axis=1)
        print(f"{what} moves the vectors by {np.median(change):.1%} (median), {change.max():.1%} at most")


if __name__ == "__main__":
    main()
