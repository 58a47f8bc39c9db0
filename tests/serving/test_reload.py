"""A new model in the folder takes its turn when it is complete; until then the old one answers."""

import os
import shutil
import time
from pathlib import Path

import pytest

from stages.serving import served_model
from tests.conftest import Once, copy
from tests.serving.servers import Server, make_mails, make_texts


@pytest.fixture
def server(once: Once, tmp_path: Path) -> Server:
    return Server(copy(once("serving-texts", make_texts), tmp_path / "project"))


@pytest.fixture
def newer(once: Once) -> Path:
    """A model with another label."""
    return once("serving-other", lambda folder: make_texts(folder, label="c")) / "data/head"


def replace(folder: Path, source: Path) -> None:
    """Replace a folder as a stage does: whole, by a new name."""
    shutil.copytree(source, folder.with_name("next"))
    shutil.rmtree(folder)
    folder.with_name("next").rename(folder)


def label(server: Server) -> str:
    return str(server.predict("thanks")[0]["predicted"])


def health(server: Server) -> dict[str, str]:
    answer = server.client.get("/healthz")
    assert answer.status_code == 200
    return dict(answer.json())


def test_a_new_model_takes_its_turn(server: Server, newer: Path) -> None:
    server.models.step()
    assert label(server) == "b" and health(server) == {"status": "ok", "model": "current"}
    replace(server.project / "data/head", newer)
    server.models.step()
    assert label(server) == "b", "the folder may change further"
    server.models.step()
    assert label(server) == "c" and server.client.get("/model").json()["labels"] == ["a", "c"]
    server.models.step()
    assert server.numbers()['headstart_reloads_total{result="loaded"}'] == 1


def test_a_model_with_other_columns(server: Server, once: Once) -> None:
    replace(server.project / "data/head", once("serving-mails", make_mails) / "data/head")
    server.models.step()
    server.models.step()
    assert server.client.get("/model").json()["input"] == ["subject", "body"]
    server.refused(422, "input 1 is one value", json={"inputs": ["thanks"]})


@pytest.mark.parametrize("damage", ["missing", "cut", "json", "half", "none"])
def test_a_damaged_model_keeps_the_old_one(server: Server, newer: Path, damage: str) -> None:
    head = server.project / "data/head"
    kept = copy(head, head.with_name("kept"))
    match damage:
        case "missing":
            shutil.rmtree(head)
        case "cut":
            layer = head / "linear.safetensors"
            layer.write_bytes(layer.read_bytes()[:-8])
        case "json":
            (head / "model.json").write_text("{", "utf-8")
        case "half":  # the card of one model, the files of another
            shutil.copy(newer / "model.json", head)
            shutil.copy(server.project / "params.yaml", head / "linear.safetensors")
        case "none":
            (head / "model.json").write_text('{"method": "none"}', "utf-8")
    for _ in range(4):
        server.models.step()
        assert label(server) == "b"
    assert health(server)["model"] == "old" and "the old model is served" in health(server)["trouble"]
    assert "dvc" not in health(server)["trouble"] and str(server.project / "data/head") in health(server)["trouble"]
    assert server.numbers()['headstart_reloads_total{result="failed"}'] == 1, "tried once"
    shutil.rmtree(head, ignore_errors=True)
    replace(kept, newer)
    kept.rename(head)
    server.models.step()
    server.models.step()
    assert label(server) == "c" and health(server) == {"status": "ok", "model": "current"}


def test_the_same_model_back_again_ends_the_trouble(server: Server) -> None:
    head = server.project / "data/head"
    head.rename(head.with_name("away"))
    server.models.step()
    server.models.step()
    assert health(server)["model"] == "old"
    head.with_name("away").rename(head)
    server.models.step()
    assert health(server) == {"status": "ok", "model": "current"} and label(server) == "b"


def test_a_folder_that_changes_while_it_is_read(server: Server, newer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head, load = server.project / "data/head", served_model.trained_model.load

    def change_and_load(*arguments: object) -> object:
        os.utime(head / "model.json", ns=(1, 1))
        return load(*arguments)  # type: ignore[arg-type]

    replace(head, newer)
    monkeypatch.setattr(served_model.trained_model, "load", change_and_load)
    server.models.step()
    server.models.step()
    assert label(server) == "b" and "changed while it was read" in health(server)["trouble"]
    monkeypatch.undo()
    server.models.step()
    server.models.step()
    assert label(server) == "c"


def test_requests_during_a_reload_get_one_model_or_the_other(server: Server, newer: Path) -> None:
    """The labels and probabilities of a request are those of one model."""
    served, later = server.models.current, time.monotonic() + 600
    replace(server.project / "data/head", newer)
    server.models.step()
    rows = server.classifying._rows(served, b'{"inputs": ["thanks"]}', "application/json", later, 10)
    server.models.step()
    assert server.models.current is not served
    classified = server.classifying._classified(served, rows, later)
    assert classified.outputs.shape == (1, 2) and server.predict("thanks")[0]["probabilities"].keys() == {"a", "c"}
