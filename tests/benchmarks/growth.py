"""Measure what 1 % more rows cost against extracting all of them, and what returning to an earlier setting costs.

    python -m tests.benchmarks.growth TABLE.csv

TABLE has columns `text` and `label`; the encoder is the packaged MiniLM. The run with nothing new shows the fixed
costs: starting Python, loading the model and writing the table.
"""

import csv
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks import arguments
from tests.projects import make_project, run, set_params


def main() -> None:
    args = arguments.parse(__doc__, table=Path)
    with args.table.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HEADSTART_CACHE"] = f"{folder}/cache"
        project = make_project(Path(folder) / "project")
        set_params(project, prepare__data="data/rows.csv", prepare__label="label", prepare__max_rejected=1)

        def extract(name: str, count: int) -> float:
            with (project / "data/rows.csv").open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([header, *rows[:count]])
            run(project, sys.executable, "-m", "stages.prepare", "data/prepared")
            start = time.perf_counter()
            done = run(project, sys.executable, "-m", "stages.extract", "data/prepared", "data/features")
            seconds = time.perf_counter() - start
            print(f"{name}: {seconds:.1f} s; {done.stdout.strip()}")
            return seconds

        all_but = len(rows) * 99 // 100
        extract("99 %", all_but)
        grown = extract("1 % more", len(rows))
        nothing = extract("nothing new", len(rows))
        run(project, sys.executable, "-m", "stages.cache", "--clear")
        whole = extract("all", len(rows))
        set_params(project, extract__pooling="cls")
        extract("another pooling", len(rows))
        set_params(project, extract__pooling="mean")
        extract("back", len(rows))
    print(f"1 % more costs {(grown - nothing) / (whole - nothing):.1%} of all, without the fixed costs")


if __name__ == "__main__":
    main()
