"""A Hugging Face hub on loopback that holds models."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.http_servers import Answer, server

COMMIT = "c" * 40


@contextmanager
def hub_at(answer: Callable[[str], Answer], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A hub on loopback that gives these answers."""
    with server(answer) as address:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", address, raising=False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield address


@contextmanager
def hub_with(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A hub with one model, the files of `folder` at `COMMIT`, and a pickle; gives the paths that it was asked for."""
    files = {path.name: path.stat().st_size for path in folder.iterdir()} | {"pytorch_model.bin": 9}
    asked: list[str] = []

    def answer(path: str) -> Answer:
        asked.append(path)
        if path.startswith(f"/api/models/{name}"):
            tree = [{"type": "file", "path": file, "size": size, "oid": file} for file, size in files.items()]
            info = {"id": name, "sha": COMMIT, "siblings": [{"rfilename": file} for file in files]}
            return 200, {"Content-Type": "application/json"}, json.dumps(tree if "/tree/" in path else info).encode()
        if path.startswith(f"/{name}/resolve/{COMMIT}/"):
            file = path.rsplit("/", 1)[-1]
            return 200, {"ETag": f'"{file}"', "X-Repo-Commit": COMMIT}, (folder / file).read_bytes()
        return 404, {}, b""

    with hub_at(answer, monkeypatch):
        yield asked
