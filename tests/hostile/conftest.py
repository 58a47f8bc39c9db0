"""A project for hostile input."""

from pathlib import Path

import pytest

from tests.conftest import Once, copy
from tests.projects import make_project, set_params


@pytest.fixture
def project(tmp_path: Path, once: Once) -> Path:
    folder = copy(once("project", make_project), tmp_path / "project")
    set_params(folder, prepare__label="label")
    return folder
