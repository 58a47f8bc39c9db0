"""fetch: names, targets, and sources that do not answer."""

import socket
import threading
from pathlib import Path

import pytest
import torchvision

from stages.common.errors import HeadstartError
from stages.fetch import fetch
from tests.http_servers import server
from tests.projects import POSIX


@pytest.mark.parametrize("kind", ["folder", "file", pytest.param("dangling link", marks=POSIX)])
def test_an_existing_target_is_refused_and_kept(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "mine"
    if kind == "folder":
        target.mkdir()
    elif kind == "file":
        target.write_text("precious", "utf-8")
    else:
        target.symlink_to(tmp_path / "absent")
    with pytest.raises(HeadstartError, match=r"mine exists and is never overwritten; delete it or name another folder"):
        fetch("digits", target)
    assert list(tmp_path.iterdir()) == [target]
    assert kind != "file" or target.read_text("utf-8") == "precious"


def test_a_target_that_appears_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(_: Path) -> str:
        (tmp_path / "digits").write_text("precious", "utf-8")
        return "done"

    monkeypatch.setattr("stages.datasets.digits.write", slow)
    with pytest.raises(HeadstartError, match="exists and is never overwritten"):
        fetch("digits", tmp_path / "digits")
    assert (tmp_path / "digits").read_text("utf-8") == "precious" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["digit", "imdb", "hf:", "torchvision:", "https://example.org/data.zip"])
def test_unknown_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(HeadstartError, match=r"must be digits, hf:OWNER/NAME or torchvision:NAME"):
        fetch(name, tmp_path / "target")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["torchvision:SEMEION", "hf:me/reviews"])
def test_a_source_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    over = threading.Event()

    def silent(_: str) -> tuple[int, dict[str, str], bytes]:
        over.wait(600)
        return 200, {}, b""

    monkeypatch.setattr("stages.datasets.hub.FETCH_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr("stages.datasets.torchvision.FETCH_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with server(silent) as address:
        monkeypatch.setattr(torchvision.datasets.SEMEION, "url", f"{address}/semeion.data")
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        with pytest.raises(HeadstartError, match=rf"{address}.*timed out.*; check the network"):
            fetch(name, tmp_path / "target")
        over.set()
    assert socket.getdefaulttimeout() is None, "for other connections"
