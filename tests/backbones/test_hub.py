"""Where pretrained weights are found: a package, the hub's cache, the hub."""

import json
import shutil
import time
from pathlib import Path

import pytest

from stages.backbones import hub
from stages.common.errors import HeadstartError
from tests.backbones.text_backbones import REVISION
from tests.http_servers import Answer, server
from tests.projects import MINILM


def test_the_packaged_copy_is_used_without_a_network() -> None:
    folder, revision = hub.resolve(MINILM, REVISION)
    assert revision == REVISION and (folder / "model.safetensors").exists()


def test_a_packaged_copy_of_another_digest_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module, folder, _ = hub.PACKAGED[MINILM, REVISION]
    monkeypatch.setitem(hub.PACKAGED, (MINILM, REVISION), (module, folder, "0" * 64))
    with pytest.raises(HeadstartError, match=r"has SHA-256 53aa51.* but .* has 0000.*reinstall"):
        hub.resolve(MINILM, REVISION)


def test_the_hub_cache_is_used_when_its_snapshot_is_whole(tiny_encoder: Path, tmp_path: Path) -> None:
    commit = "a" * 40
    snapshot = tmp_path / "hub/models--me--tiny/snapshots" / commit
    shutil.copytree(tiny_encoder, snapshot)
    refs = tmp_path / "hub/models--me--tiny/refs"
    refs.mkdir()
    (refs / "main").write_text(commit, "utf-8")
    assert hub.resolve("me/tiny", commit) == (snapshot, commit) == hub.resolve("me/tiny", None)
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(HeadstartError, match="not on this machine"):
        hub.resolve("me/tiny", commit)


def test_without_a_network_one_error_says_what_to_do_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with pytest.raises(HeadstartError) as error:
        hub.resolve("nobody/nothing", "b" * 40)
    assert sum(waits) < 20, "seconds between tries"
    for words in ("hub cannot be reached", f"hf download nobody/nothing --revision {'b' * 40}", "set backbone.name"):
        assert words in str(error.value)


def test_a_model_is_downloaded_from_the_hub(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a hub of our own on loopback that speaks the two calls a download makes."""
    commit = "c" * 40
    names = [path.name for path in tiny_encoder.iterdir()] + ["pytorch_model.bin"]
    sizes = {path.name: path.stat().st_size for path in tiny_encoder.iterdir()}
    asked: list[str] = []

    def hub_of_our_own(path: str) -> Answer:
        asked.append(path)
        if path.startswith("/api/models/me/tiny"):
            tree = [{"type": "file", "path": name, "size": size, "oid": name} for name, size in sizes.items()]
            info = {"id": "me/tiny", "sha": commit, "siblings": [{"rfilename": name} for name in names]}
            return 200, {"Content-Type": "application/json"}, json.dumps(tree if "/tree/" in path else info).encode()
        if path.startswith(f"/me/tiny/resolve/{commit}/"):
            name = path.rsplit("/", 1)[-1]
            return 200, {"ETag": f'"{name}"', "X-Repo-Commit": commit}, (tiny_encoder / name).read_bytes()
        return 404, {}, b""

    with server(hub_of_our_own) as address:
        for constant in ("ENDPOINT", "HUGGINGFACE_CO_URL_HOME"):
            monkeypatch.setattr(f"huggingface_hub.constants.{constant}", address, raising=False)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", address, raising=False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        folder, revision = hub.resolve("me/tiny", None)
    assert revision == commit
    assert (folder / "model.safetensors").read_bytes() == (tiny_encoder / "model.safetensors").read_bytes()
    assert not any("pytorch_model.bin" in path for path in asked)
    assert hub.resolve("me/tiny", commit) == (folder, commit), "and then found in the cache"
