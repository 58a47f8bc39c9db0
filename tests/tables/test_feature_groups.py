"""Feature tables carry the groups of rows that have any, and look as ever where none has one."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from stages.tables import features, prepared
from tests.projects import TFIDF, make_project, run_stages, set_params


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = make_project(tmp_path_factory.mktemp("groups") / "project")
    lines = [f"text number {n} of {'ab'[n % 2]},{'ab'[n % 2]},{f'g{n % 9}' if n % 3 else ''}" for n in range(90)]
    (project / "data/rows.csv").write_text("\n".join(["text,label,group", *lines]) + "\n", "utf-8")
    set_params(project, prepare__data="data/rows.csv", prepare__label="label", prepare__group="group", **TFIDF)
    return run_stages(project, "prepare", "extract")


def test_groups_travel_with_the_vectors(project: Path) -> None:
    rows = features.read(project / "data/features", "train")
    table = prepared.read(project / "data/prepared", "train")
    wanted = [
        f"group {group}" if group else f"row {row}"
        for row, group in zip(table["id"].to_pylist(), table["group"].to_pylist(), strict=True)
    ]
    assert rows.groups is not None and rows.groups.tolist() == wanted
    chosen = rows.select(np.array([3, 1])).groups
    assert chosen is not None and chosen.tolist() == [wanted[3], wanted[1]]


def test_without_groups_there_is_no_column(project: Path) -> None:
    assert "group" in pq.read_schema(project / "data/features/train/part-00000.parquet").names
    set_params(project, prepare__group=None)
    run_stages(project, "prepare", "extract")
    assert "group" not in pq.read_schema(project / "data/features/train/part-00000.parquet").names
    assert features.read(project / "data/features", "train").groups is None
