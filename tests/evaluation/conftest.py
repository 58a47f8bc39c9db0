from pathlib import Path

import pytest

from tests.browsers import browser  # noqa: F401, a fixture
from tests.evaluation.report_pages import evaluated, texts
from tests.projects import TFIDF


@pytest.fixture(scope="session")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    table = texts(folder, 60, 90, 5)
    columns = {"prepare__label": "label", "prepare__split": "split", "prepare__slice": "where"}
    return evaluated(folder / "project", prepare__data=str(table), **columns, **TFIDF)
