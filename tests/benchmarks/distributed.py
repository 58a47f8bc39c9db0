"""Measure the overhead of Ray on one machine against the local engine, and from how many rows a second machine pays.

    python -m tests.benchmarks.distributed [ROWS …]

Extracts made-up texts by a tiny encoder, so that the overhead shows, and with an empty row cache every time. Processor
seconds are those of all processes together: the command's own, Ray's and its workers'. Medians of three rounds.
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from tests.benchmarks import arguments
from tests.benchmarks.synthetic import make_tiny_project, write_texts
from tests.projects import ROOT, run, set_params

ROUNDS = 3
LOOK_SECONDS = 0.05  # between two looks at the processes


class Cost(NamedTuple):
    """What a command took."""

    seconds: float
    processor_seconds: float  # of all its processes


def measure(*command: str, cwd: Path) -> Cost:
    """Run a stage. Its processes are asked while they run, as the system sums up only those that are waited for."""
    start = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-m", *command], cwd=cwd, env=environment)
    spent: dict[psutil.Process, float] = {}
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(process.pid)
            for watched in (parent, *parent.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    times = watched.cpu_times()
                    spent[watched] = times.user + times.system
        time.sleep(LOOK_SECONDS)
    if process.returncode:
        raise SystemExit(f"{command[0]} failed")
    return Cost(time.perf_counter() - start, sum(spent.values()))


def main() -> None:
    counts = arguments.parse(__doc__, rows=[2_000, 20_000, 200_000]).rows
    with tempfile.TemporaryDirectory() as folder:
        project = make_tiny_project(Path(folder))
        set_params(project, runtime__device="cpu")
        overheads = []
        for count in counts:
            write_texts(project / "data/rows.csv", count)
            run(project, sys.executable, "-m", "stages.prepare", "data/prepared")
            costs: dict[str, list[Cost]] = {"local": [], "ray": []}
            for _ in range(ROUNDS):
                for engine, measured in costs.items():
                    set_params(project, runtime__engine=engine)
                    with tempfile.TemporaryDirectory(dir=folder) as cache:
                        os.environ["HEADSTART_CACHE"] = cache
                        measured.append(measure("stages.extract", "data/prepared", "data/features", cwd=project))
            local, ray = (Cost(*np.median(measured, axis=0)) for measured in costs.values())
            overheads.append(np.subtract(ray, local))
            print(
                f"{count:,} rows: local {local.seconds:.1f} s, {local.processor_seconds:.1f} processor s;"
                f" Ray {ray.seconds:.1f} s, {ray.processor_seconds:.1f} processor s"
            )
    (per_row, per_row_processor), (fixed, fixed_processor) = np.polyfit(counts, overheads, 1)
    print(f"Ray costs {fixed:.1f} s and {per_row * 1e6:.0f} µs a row")
    print(f"in processor seconds: {fixed_processor:.1f} s and {per_row_processor * 1e6:.0f} µs a row")
    for speed in (100, 1_000, 10_000):
        gain = 1 / speed / 2 - max(per_row, 0)
        pays = f"from {fixed / gain:,.0f} rows" if gain > 0 else "never"
        print(f"a model of {speed:,} rows/s on each of two machines like this one: pays {pays}")


if __name__ == "__main__":
    main()
