"""Measure the stages from a thousand rows to a million: seconds, memory, rows a second, disk, and `dvc push`.

    python -m tests.benchmarks.scale [ROWS …]

Encodes made-up texts of 10 classes by one layer of 384 dimensions, with default settings otherwise. So every stage but
extract costs as much as with MiniLM, whose 6 layers take about ten times as long. finetune, which trains nothing by
default, takes less than a second. Prints two tables in Markdown, a line as soon as it is measured. Processor seconds
are those of all cores together; beside other work they tell more than seconds do. A million rows take about a quarter
of an hour on two cores.
"""

import json
import os
import platform
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.benchmarks import arguments
from tests.benchmarks.synthetic import WIDE, write_encoder, write_texts
from tests.projects import make_project, run, set_params

STAGES = ("prepare", "extract", "train_head", "evaluate")
OUTPUTS = ("prepared", "features", "head", "evaluation")


def main() -> None:
    counts = arguments.parse(__doc__, rows=[1_000, 10_000, 100_000, 1_000_000]).rows
    print(f"{os.cpu_count()} cores of {processor()}: seconds (processor seconds), peak memory, rows a second\n")
    start = time.perf_counter()
    print_line("rows", *STAGES, "dvc repro")
    print_line(*["---"] * (len(STAGES) + 2))
    sizes = []
    with tempfile.TemporaryDirectory() as name:
        encoder = Path(name) / "tiny"
        write_encoder(encoder, **WIDE)
        for count in counts:
            folder = Path(name) / str(count)
            costs = reproduce(folder, encoder, count)
            print_line(f"{count:,}", *costs)
            sizes.append((f"{count:,}", *disk(folder)))
            shutil.rmtree(folder)
    print()
    print_line("rows", "table", *OUTPUTS, "row cache", "`dvc push`")
    print_line(*["---"] * (len(OUTPUTS) + 4))
    for line in sizes:
        print_line(*line)
    print(f"\nAll of it took {(time.perf_counter() - start) / 60:.0f} minutes.")


def reproduce(folder: Path, encoder: Path, rows: int) -> list[str]:
    """Run `dvc repro` on so many rows in a new project; give what every stage cost, and the seconds of all."""
    project = make_project(folder / "project")
    os.environ["HEADSTART_CACHE"] = str(folder / "cache")
    set_params(
        project,
        prepare__data="data/rows.csv",
        backbone__name=str(encoder),
        backbone__revision=None,
        extract__max_length=64,
    )
    write_texts(project / "data/rows.csv", rows, classes=10, least=6, most=14)
    start = time.perf_counter()
    run(project, "dvc", "repro")
    seconds = time.perf_counter() - start
    log = (folder / "cache" / "runs.jsonl").read_text("utf-8").splitlines()
    stages = {stage["verb"]: stage for stage in map(json.loads, log)}
    costs = [
        f"{stage['seconds']:.1f} s ({stage['processor_seconds']:.1f} s), {stage['peak_memory_gb']:.2f} GB,"
        f" {rows / stage['seconds']:,.0f}/s"
        for stage in (stages[verb] for verb in STAGES)
    ]
    return [*costs, f"{seconds:.1f} s"]


def disk(folder: Path) -> list[str]:
    """Give the sizes of table, outputs and row cache, and the bytes that `dvc push` sends."""
    project, remote = folder / "project", folder / "remote"
    remote.mkdir()
    run(project, "dvc", "remote", "add", "-d", "local", str(remote))
    run(project, "dvc", "push")
    paths = (project / "data/rows.csv", *(project / "data" / name for name in OUTPUTS), folder / "cache", remote)
    return [f"{size(path):.1f} MB" for path in paths]


def size(path: Path) -> float:
    """Sum the MB of a file, or of all files below a folder."""
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file()) / 1e6


def processor() -> str:
    """Name the processor, as far as the system tells, and its widest vectors, which decide how fast products are."""
    with suppress(OSError):  # Linux
        about = Path("/proc/cpuinfo").read_text("utf-8")
        vectors = " with AVX-512" if " avx512f " in about else " with AVX2" if " avx2 " in about else ""
        for line in about.splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip() + vectors
    return platform.processor() or platform.machine()


def print_line(*cells: str) -> None:
    """Print a line of a table."""
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
