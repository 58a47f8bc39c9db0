"""Ray ships the whole package to its nodes."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stages.common.params import RuntimeParams
from stages.extraction import ray_cluster


def test_nodes_get_the_package_folder_with_its_verbs_and_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(
        ray_cluster,
        "_ray",
        lambda: SimpleNamespace(init=lambda **options: given.update(options), shutdown=lambda: None),
    )
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_BACKEND_LOG_LEVEL", "fatal")
    with ray_cluster.cluster(RuntimeParams(engine="ray", ray_address="auto")):
        pass
    (folder,) = given["runtime_env"]["py_modules"]
    for name in ("__init__.py", "prepare.py", "extract.py", "extraction/ray_cluster.py", "backbones/__init__.py"):
        assert (Path(folder) / name).is_file(), name
