"""Peak memory of extract at 20,000 and at 200,000 rows, with a tiny model.

python -m tests.benchmarks.memory
"""

import csv
import os
import random
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.photos import measure
from tests.conftest import make_project, make_tiny_encoder, run, set_params

WORDS = [
    "i",
    "love",
    "hate",
    "this",
    "product",
    "is",
    "terrible",
    "great",
    "awful",
    "the",
    "a",
    "best",
    "movie",
    "bad",
    "good",
]


def main() -> None:
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HEADSTART_CACHE"] = f"{folder}/cache"
        make_tiny_encoder(Path(folder) / "tiny")
        project = make_project(Path(folder) / "project")
        set_params(
            project,
            prepare__data="data/rows.csv",
            backbone__name=f"{folder}/tiny",
            backbone__revision=None,
            extract__max_length=64,
        )
        for count in (20_000, 200_000):
            chance = random.Random(0)
            with (project / "data/rows.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(["text", "category", "sentiment"])
                for row in range(count):
                    words = " ".join(chance.choices(WORDS, k=chance.randint(3, 40)))
                    writer.writerow([f"{words} {row}", row % 5, 0])
            run(project, sys.executable, "-m", "stages.prepare", "data/prepared")
            seconds, memory = measure("stages.extract", "data/prepared", "data/features", cwd=project)
            peaks.append(memory)
            print(f"{count:,} rows: {seconds:.1f} s, peak memory {memory:.2f} GB")
    print(f"ratio {peaks[1] / peaks[0]:.2f}")


if __name__ == "__main__":
    main()
