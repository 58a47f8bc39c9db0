"""Memory does not grow with the rows."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pictures import png
from tests.projects import make_project, set_params, stage_process


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Peak memory of prepare and extract at 20,000 images, against 2,000."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    peaks: dict[str, list[float]] = {"prepare": [], "extract": []}
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
        for verb, measured in peaks.items():
            stage_process(project, verb)
            log = (Path(os.environ["HEADSTART_CACHE"]) / "runs.jsonl").read_text("utf-8").splitlines()
            measured.append(json.loads(log[-1])["peak_memory_gb"])
    for verb, (small, large) in peaks.items():
        assert large < 1.2 * small, f"{verb}: {small} -> {large} GB"
