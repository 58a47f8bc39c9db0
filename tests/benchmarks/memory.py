"""Measure the peak memory of extract at 20,000 and at 200,000 rows, by an encoder of one layer and 384 dimensions.

    python -m tests.benchmarks.memory

Vectors and batches are as wide as MiniLM's: with fewer dimensions, what is kept of every row would not show.
"""

import os
import sys
import tempfile
from pathlib import Path

from tests.benchmarks import arguments
from tests.benchmarks.photos import measure
from tests.benchmarks.synthetic import WIDE, make_tiny_project, write_texts
from tests.projects import run


def main() -> None:
    arguments.parse(__doc__)
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HEADSTART_CACHE"] = f"{folder}/cache"
        project = make_tiny_project(Path(folder), **WIDE)
        for count in (20_000, 200_000):
            write_texts(project / "data/rows.csv", count)
            run(project, sys.executable, "-m", "stages.prepare", "data/prepared")
            seconds, memory = measure("stages.extract", "data/prepared", "data/features", cwd=project)
            peaks.append(memory)
            print(f"{count:,} rows: {seconds:.1f} s, peak memory {memory:.2f} GB")
    print(f"ratio {peaks[1] / peaks[0]:.2f}")


if __name__ == "__main__":
    main()
