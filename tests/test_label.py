"""label: what is refused in one sentence, before a page opens."""

import socket
import sys
from pathlib import Path

import pytest

from stages.common import locks
from tests.conftest import Once, copy
from tests.labelling.desks import make_texts
from tests.projects import Verb, run_stages, set_params


@pytest.fixture
def project(tmp_path: Path, once: Once) -> Path:
    return copy(once("labelling-texts", make_texts), tmp_path / "project")


def refused(verb: Verb, *arguments: str) -> str:
    done = verb("label", "--no-browser", *arguments, check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stdout + done.stderr
    return done.stderr


def test_a_port_in_use(project: Path, verb: Verb) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"--port {port} is in use; name another, or 0 for a free one" in refused(verb, "--port", str(port))


@pytest.mark.parametrize("port", ["-1", "65536", "99999999999999999999"])
def test_no_port(project: Path, verb: Verb, port: str) -> None:
    assert f"--port {port} is no port to use" in refused(verb, "--port", port)


def test_no_unlabelled_rows(project: Path, verb: Verb) -> None:
    set_params(project, prepare__data="data/reviews.csv", prepare__label="category")
    run_stages(project, "prepare")
    assert "data/prepared/unlabelled holds no rows; leave the label of rows in your table empty" in refused(verb)


def test_no_tables(project: Path, verb: Verb) -> None:
    assert "run `dvc repro`" in refused(verb, "--prepared", "data/none")


def test_another_page_for_the_same_labels(project: Path, verb: Verb) -> None:
    with locks.held(project / "data/labels.csv.page"):
        assert "another page labels into data/labels.csv; open the address that it printed" in refused(verb)


def test_a_file_that_holds_no_labels(project: Path, verb: Verb) -> None:
    (project / "data/labels.csv").write_text("a,b\n1,2\n", "utf-8")
    assert "data/labels.csv" in refused(verb)
    assert (project / "data/labels.csv").read_text("utf-8") == "a,b\n1,2\n"


@pytest.mark.parametrize("package", ["fastapi", "uvicorn"])
def test_without_the_extra(project: Path, verb: Verb, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    for module in ("server", "serving"):
        monkeypatch.delitem(sys.modules, f"stages.labelling.{module}", raising=False)
        monkeypatch.delattr(f"stages.labelling.{module}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    assert f"the page needs the package {package}; run `pip install -e '.[label]'`" in refused(verb)
