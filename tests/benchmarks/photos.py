"""Measure seconds and peak memory of prepare and extract on photos.

    python -m tests.benchmarks.photos [ROWS] [MODEL]

Draws ROWS (1,000) JPEGs of 500 x 375 pixels and about 110 kB, like photos on the web, and runs both stages as processes
of their own. MODEL (resnet18) has random weights, which take as long as pretrained ones.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from tests.benchmarks import arguments
from tests.projects import ROOT

PARAMS = """
prepare: {{data: {photos}, input: image, label: label}}
backbone: {{family: torchvision, name: {model}, revision: null, weights: random}}
runtime: {{device: cpu}}
"""


def draw(folder: Path, rows: int) -> None:
    """Write pictures of smooth shapes and fine grain in two classes."""
    rng = np.random.default_rng(0)
    for row in range(rows):
        path = folder / f"{'ab'[row % 2]}/{row:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((500, 375))
        grain = rng.normal(0, 14, (375, 500, 3))
        Image.fromarray((np.asarray(coarse) + grain).clip(0, 255).astype(np.uint8)).save(path, quality=90)


def measure(*command: str, cwd: Path) -> tuple[float, float]:
    """Run a stage and give its seconds and its peak memory in GB."""
    start = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-m", *command], cwd=cwd, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command[0]} failed")
    return time.perf_counter() - start, usage.ru_maxrss / 2**20


def main() -> None:
    args = arguments.parse(__doc__, rows=1_000, model="resnet18")
    rows = args.rows
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder / "photos", rows)
        size = sum(path.stat().st_size for path in folder.rglob("*.jpg")) / rows / 1000
        (folder / "params.yaml").write_text(PARAMS.format(photos="photos", model=args.model), "utf-8")
        for command in (["stages.prepare", "prepared"], ["stages.extract", "prepared", "features"]):
            seconds, memory = measure(*command, cwd=folder)
            print(
                f"{command[0].split('.')[1]}: {rows:,} photos of {size:.0f} kB in {seconds:.1f} s,"
                f" peak memory {memory:.2f} GB, {os.cpu_count()} cores"
            )


if __name__ == "__main__":
    main()
