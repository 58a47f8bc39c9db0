"""Measure the peak memory of extract at 20,000 and at 200,000 rows, by a tiny encoder.

python -m tests.benchmarks.memory
"""

import os
import sys
import tempfile
from pathlib import Path

from tests.benchmarks import arguments
from tests.benchmarks.photos import measure
from tests.benchmarks.synthetic import make_tiny_project, write_texts
from tests.projects import run


def main() -> None:
    arguments.parse(__doc__)
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HEADSTART_CACHE"] = f"{folder}/cache"
        project = make_tiny_project(Path(folder))
        for count in (20_000, 200_000):
            write_texts(project / "data/rows.csv", count)
            run(project, sys.executable, "-m", "stages.prepare", "data/prepared")
            seconds, memory = measure("stages.extract", "data/prepared", "data/features", cwd=project)
            peaks.append(memory)
            print(f"{count:,} rows: {seconds:.1f} s, peak memory {memory:.2f} GB")
    print(f"ratio {peaks[1] / peaks[0]:.2f}")


if __name__ == "__main__":
    main()
