"""Measure every stage from a thousand rows to a million: seconds, memory, disk, and the bytes that `dvc push` sends.

    python -m tests.benchmarks.scale [ROWS …]

Encodes made-up texts of 10 classes by one layer of 384 dimensions, with default settings otherwise. So every stage but
extract costs as much as with MiniLM, whose 6 layers take about ten times as long.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks import arguments
from tests.benchmarks.synthetic import write_encoder, write_texts
from tests.projects import make_project, run, set_params


def main() -> None:
    counts = arguments.parse(__doc__, rows=[1_000, 10_000, 100_000, 1_000_000]).rows
    with tempfile.TemporaryDirectory() as name:
        encoder = Path(name) / "tiny"
        write_encoder(encoder, hidden_size=384, num_hidden_layers=1, num_attention_heads=12, intermediate_size=384)
        for count in counts:
            folder = Path(name) / str(count)
            project = make_project(folder / "project")
            os.environ["HEADSTART_CACHE"] = str(folder / "cache")
            set_params(
                project,
                prepare__data="data/rows.csv",
                backbone__name=str(encoder),
                backbone__revision=None,
                extract__max_length=64,
            )
            run(project, "dvc", "remote", "add", "-d", "local", str(folder / "remote"))
            (folder / "remote").mkdir()
            print(f"{count:,} rows:", *measured(folder, count), sep="\n  ", flush=True)
            if count < 1_000_000:
                print("  1 % more:", *measured(folder, count + count // 100), sep="\n    ", flush=True)
            shutil.rmtree(folder)


def measured(folder: Path, rows: int) -> Iterator[str]:
    """Run `dvc repro` and `dvc push` with this number of rows, and yield a line about each cost."""
    project, cache, remote = folder / "project", folder / "cache", folder / "remote"
    write_texts(project / "data/rows.csv", rows, classes=10, least=6, most=14)
    (cache / "runs.jsonl").unlink(missing_ok=True)
    start = time.perf_counter()
    run(project, "dvc", "repro")
    yield f"dvc repro {time.perf_counter() - start:.1f} s"
    for line in (cache / "runs.jsonl").read_text("utf-8").splitlines():
        stage = json.loads(line)
        yield f"{stage['verb']} {stage['seconds']:.1f} s, {stage['peak_memory_gb']:.2f} GB"
    yield f"data/rows.csv {(project / 'data/rows.csv').stat().st_size / 1e6:.1f} MB"
    yield f"row cache {size(cache):.1f} MB"
    for output in ("prepared", "features", "head", "evaluation"):
        yield f"data/{output} {size(project / 'data' / output):.1f} MB"
    before, start = size(remote), time.perf_counter()
    run(project, "dvc", "push")
    yield f"dvc push {size(remote) - before:.1f} MB in {time.perf_counter() - start:.1f} s"


def size(folder: Path) -> float:
    """Sum the MB of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


if __name__ == "__main__":
    main()
