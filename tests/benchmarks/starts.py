"""Measure starting costs: whole commands on few rows, where little but imports and loading is to be done.

    python -m tests.benchmarks.starts [ROUNDS] [CLONE]

Prints the medians over ROUNDS of processor seconds, of all threads and child processes together, and of seconds. With
CLONE, the folder of another version of the project, its stages run in turns with those of this one.

The rows are those of data/reviews.csv, cut to 40 characters; the encoder is the packaged MiniLM. On Windows, processor
seconds are 0.
"""

import csv
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks import arguments
from tests.projects import ROOT, make_project, run, set_params, stage_command

CHARACTERS, NEW = 40, 10


class Spent(NamedTuple):
    """What a command took."""

    processor_seconds: float
    seconds: float


class Side:
    """One version of the project, with all stages done, and its own cache folder."""

    def __init__(self, folder: Path, clone: Path) -> None:
        self._cache, self._project, self._changes = folder / "cache", make_project(folder / "project", clone), 0
        self._write_tables()
        self._write_six_steps()
        self._run(sys.executable, "-m", "compileall", "-q", "stages")
        self.repro()

    def commands(self) -> dict[str, Callable[[], None]]:
        """Give what is measured, by its name."""

        def verb(*command: str) -> Callable[[], None]:
            return lambda: self._run(*stage_command(*command))

        finetuned = ("data/prepared", "data/features", "data/head", "data/tuned", "--params", "six_steps.yaml")
        return {
            "`prepare`, 800 rows": verb("prepare"),
            "`extract`, all rows in the row cache": verb("extract"),
            "`train_head`": verb("train_head"),
            "`finetune`, method none": verb("finetune"),
            "`finetune`, method full, 80 rows, 6 steps": verb("finetune", *finetuned),
            "`evaluate`, what does not depend on the head is cached": verb("evaluate"),
            "`predict`, 10 rows in the row cache": verb("predict", "data/head", "known.csv", "out.csv"),
            "`predict`, 10 new rows": verb("predict", "data/head", "new.csv", "out.csv"),
            "`dvc repro` after a change of the head": self.repro,
        }

    def repro(self) -> None:
        """Run `dvc repro` with another value of train_head.C, so close to the last that the head errs alike."""
        self._changes += 1
        set_params(self._project, train_head__C=[1, 10 + self._changes / 1000])
        self._run("dvc", "repro")

    def _run(self, *command: str) -> None:
        os.environ["HEADSTART_CACHE"] = str(self._cache)
        run(self._project, *command)

    def _write_tables(self) -> None:
        """Cut the texts, and write tables of known and of new ones."""
        table = self._project / "data/reviews.csv"
        with table.open(newline="", encoding="utf-8") as file:
            rows = [[row["text"][:CHARACTERS], row["category"]] for row in csv.DictReader(file)]
        new = [[f"{number} times {text}", label] for number, (text, label) in enumerate(rows[:NEW])]
        for path, part in ((table, rows), (self._project / "known.csv", rows[:NEW]), (self._project / "new.csv", new)):
            with path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([["text", "category"], *part])

    def _write_six_steps(self) -> None:
        """Write settings of a training of 2 epochs of 3 steps."""
        path = self._project / "params.yaml"
        usual = path.read_bytes()
        set_params(self._project, budget__per_class=10, finetune__method="full", finetune__epochs=2)
        path.rename(self._project / "six_steps.yaml")
        path.write_bytes(usual)


def spent(command: Callable[[], None]) -> Spent:
    """Run a command and measure it."""
    start, before = time.perf_counter(), os.times()
    command()
    seconds, after = time.perf_counter() - start, os.times()
    processor = sum(getattr(after, name) - getattr(before, name) for name in ("children_user", "children_system"))
    return Spent(processor, seconds)


def main() -> None:
    args = arguments.parse(__doc__, rounds=5, clone="")
    clones = {"before": Path(args.clone).resolve(), "now": ROOT} if args.clone else {"now": ROOT}
    with tempfile.TemporaryDirectory() as folder:
        sides = {name: Side(Path(folder) / name, clone).commands() for name, clone in clones.items()}
        columns = [f"{unit}, {name}" for unit in ("processor seconds", "seconds") for name in sides]
        print(f"| median of {args.rounds} | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
        for command in sides["now"]:
            rounds = [[spent(side[command]) for side in sides.values()] for _ in range(args.rounds)]
            medians = [
                statistics.median(spents[side][unit] for spents in rounds)
                for unit in range(len(Spent._fields))
                for side in range(len(sides))
            ]
            print(f"| {command} | {' | '.join(f'{median:.2f}' for median in medians)} |", flush=True)


if __name__ == "__main__":
    main()
