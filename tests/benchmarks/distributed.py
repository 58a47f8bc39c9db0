"""Measure the overhead of Ray on one machine against the local engine, and from how many rows a second machine pays.

    python -m tests.benchmarks.distributed [ROWS …]

Extracts made-up texts by a tiny encoder, so that the overhead shows, and with an empty row cache every time.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.benchmarks import arguments
from tests.benchmarks.photos import measure
from tests.benchmarks.synthetic import make_tiny_project, write_texts
from tests.projects import run, set_params

ROUNDS = 3


def main() -> None:
    counts = arguments.parse(__doc__, rows=[2_000, 20_000, 200_000]).rows
    with tempfile.TemporaryDirectory() as folder:
        project = make_tiny_project(Path(folder))
        set_params(project, runtime__device="cpu")
        overheads = []
        for count in counts:
            write_texts(project / "data/rows.csv", count)
            run(project, sys.executable, "-m", "stages.prepare", "data/prepared")
            spent: dict[str, list[float]] = {"local": [], "ray": []}
            memory = {}
            for _ in range(ROUNDS):
                for engine, seconds in spent.items():
                    set_params(project, runtime__engine=engine)
                    with tempfile.TemporaryDirectory(dir=folder) as cache:
                        os.environ["HEADSTART_CACHE"] = cache
                        took, memory[engine] = measure("stages.extract", "data/prepared", "data/features", cwd=project)
                    seconds.append(took)
            local, ray = (float(np.median(seconds)) for seconds in spent.values())
            overheads.append(ray - local)
            print(
                f"{count:,} rows: local {local:.1f} s, {memory['local']:.2f} GB; Ray {ray:.1f} s,"
                f" {memory['ray']:.2f} GB in the command's own process; {ray - local:+.1f} s"
            )
    per_row, fixed = np.polyfit(counts, overheads, 1)
    print(f"Ray costs {fixed:.1f} s and {per_row * 1e6:.0f} µs a row")
    for speed in (100, 1_000, 10_000):
        gain = 1 / speed / 2 - max(per_row, 0)
        pays = f"from {fixed / gain:,.0f} rows" if gain > 0 else "never"
        print(f"a model of {speed:,} rows/s on each of two machines like this one: pays {pays}")


if __name__ == "__main__":
    main()
