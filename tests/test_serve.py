"""serve: what is refused in one sentence, before a port is served, and the Dockerfile."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.closure import ROOT
from tests.conftest import Once, copy
from tests.projects import Verb
from tests.serving.servers import make_texts

DOCKERFILE = ROOT / "stages/serving/Dockerfile"


@pytest.fixture
def project(tmp_path: Path, once: Once) -> Path:
    return copy(once("serving-texts", make_texts), tmp_path / "project")


@pytest.fixture(autouse=True)
def _serves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not refused ends, and does not serve for ever."""
    monkeypatch.setattr("uvicorn.Server.run", lambda *_, **__: None)


def refused(verb: Verb, *arguments: str) -> str:
    done = verb("serve", *(arguments or ("data/head",)), check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stdout + done.stderr
    assert done.stderr.startswith("error: ") and "dvc" not in done.stderr
    return done.stderr


def test_a_port_in_use(project: Path, verb: Verb) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"--port {port} is in use; name another" in refused(verb, "data/head", "--port", str(port))
    assert "--port 65536 is no port to use" in refused(verb, "data/head", "--port", "65536")


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "a b", "\u00e9" * 80])
def test_a_host_that_is_another_machine(project: Path, verb: Verb, host: str) -> None:
    assert "is no address of this machine" in refused(verb, "data/head", "--host", host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_others_need_a_key(project: Path, verb: Verb, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if host == "::" and not _has_ipv6():
        pytest.skip("this machine has no IPv6")
    monkeypatch.delenv("HEADSTART_API_KEY", raising=False)
    needed = f"--host {host} lets others ask; set the environment variable HEADSTART_API_KEY to a key for them"
    assert needed in refused(verb, "data/head", "--host", host, "--port", "0")
    for key in ("two words", "\u00e9", "a\nb"):
        monkeypatch.setenv("HEADSTART_API_KEY", key)
        assert "HEADSTART_API_KEY may have letters" in refused(verb, "data/head", "--host", host, "--port", "0")


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_no_model(project: Path, verb: Verb) -> None:
    assert "data/none/model.json does not exist; name a folder that holds a model" in refused(verb, "data/none")
    (project / "data/head/model.json").write_text('{"method": "none"}', "utf-8")
    assert "holds no model" in refused(verb)
    (project / "data/head/model.json").write_text("{", "utf-8")
    assert "cannot be read" in refused(verb)


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "prometheus_client", "python_multipart"])
def test_without_the_extra(project: Path, verb: Verb, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    for module in [name for name in sys.modules if name.startswith("stages.serving.")]:
        monkeypatch.delitem(sys.modules, module)
        monkeypatch.delattr(f"stages.serving.{module.rpartition('.')[2]}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    assert f"the server needs the package {package}; run `pip install -e '.[serve]'`" in refused(verb)


def test_the_dockerfile_is_short_and_careful() -> None:
    lines = DOCKERFILE.read_text("utf-8").splitlines()
    assert len(lines) <= 15
    words = {line.split()[0]: line for line in lines if not line.startswith("#")}
    base, tag = words["FROM"].split()[1].split(":")
    assert "/" not in base and "latest" not in tag and tag.count(".") == 2, "pinned, and no registry of its own"
    assert words["USER"].split()[1].isdecimal() and int(words["USER"].split()[1]) > 0
    assert "HEALTHCHECK" in words and words["ENTRYPOINT"].startswith('ENTRYPOINT ["') and "ADD" not in words
    order = [line.split()[0] for line in lines]
    assert order.index("USER") > max(number for number, word in enumerate(order) if word == "RUN")
    for line in lines:
        for source in line.split()[1:-1] if line.startswith("COPY") else ():
            assert (ROOT / source).exists(), source


@pytest.mark.skipif(not shutil.which("hadolint", path=Path(sys.executable).parent), reason="hadolint is not installed")
def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    program = shutil.which("hadolint", path=Path(sys.executable).parent)
    assert program
    done = subprocess.run([program, str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
