"""Every test of this folder has a cache folder of its own."""

import csv
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this test's files."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "rows"


@pytest.fixture
def reviews(project: Path) -> list[list[str]]:
    """The rows of the demo data, without their header."""
    with (project / "data/reviews.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]
