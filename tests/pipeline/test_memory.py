"""Memory does not grow with the rows."""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.pictures import png
from tests.projects import make_project, run, set_params


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """Peak memory of prepare and extract at 20,000 images, against 2,000."""
    peaks: dict[str, list[int]] = {"prepare": [], "extract": []}
    for rows in (2_000, 20_000):
        project = make_project(tmp_path / str(rows))
        pictures = [png(number, (8, 8)) for number in range(rows)]
        table = pa.table({"image": pictures, "label": [str(number % 2) for number in range(rows)]})
        pq.write_table(table, project / "data/rows.parquet", row_group_size=1_000)
        set_params(
            project,
            prepare__data="data/rows.parquet",
            prepare__input="image",
            prepare__label="label",
            backbone__family="torchvision",
            backbone__name="squeezenet1_1",
            backbone__weights="random",
            extract__image_size=24,
            runtime__device="cpu",
        )
        for verb, paths in (("prepare", "data/prepared"), ("extract", "data/prepared data/features")):
            code = (
                f"import resource, runpy, sys; sys.argv = ['x', *{paths!r}.split()];"
                f"runpy.run_module('stages.{verb}', run_name='__main__');"
                "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
            )
            peaks[verb].append(int(run(project, sys.executable, "-c", code).stderr.split()[-1]))
    for verb, (small, large) in peaks.items():
        assert large < 1.2 * small, f"{verb}: {small} -> {large} KiB"
