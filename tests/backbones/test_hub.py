"""Where pretrained weights are found: a package, the hub's cache, the hub."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from stages.backbones import hub
from stages.common import hub_client
from stages.common.errors import HeadstartError
from tests.backbones.model_hub import COMMIT, hub_at, hub_with
from tests.backbones.text_backbones import REVISION
from tests.http_servers import Answer
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
    for words in (
        "cannot be downloaded from the hub",
        f"hf download nobody/nothing --revision {'b' * 40}",
        "set backbone.name",
    ):
        assert words in str(error.value)


def test_a_model_is_downloaded_from_the_hub(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a hub of our own on loopback that speaks the two calls a download makes."""
    with hub_with("me/tiny", tiny_encoder, monkeypatch) as asked:
        folder, revision = hub.resolve("me/tiny", None)
    assert revision == COMMIT
    assert (folder / "model.safetensors").read_bytes() == (tiny_encoder / "model.safetensors").read_bytes()
    assert not any("pytorch_model.bin" in path for path in asked)
    assert hub.resolve("me/tiny", COMMIT) == (folder, COMMIT), "and then found in the cache"


LISTINGS: dict[str, tuple[Any, str]] = {
    "files without end": ([{"type": "file", "path": "a.json"}], "its list of files has more than 5 pages"),
    "a page without end": ([{"type": "file", "path": "a" * 100_000}], "its answer is longer than 100,000 bytes"),
    "text": (["a.json"], "cannot be downloaded from the hub"),
    "a number": (1, "cannot be downloaded from the hub"),
    "files elsewhere": ([{"type": "file", "path": "../../../a.json"}], "more than 5 pages"),
}


@pytest.mark.parametrize("case", LISTINGS)
def test_a_list_of_files_that_is_none_is_one_sentence(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entries, words = LISTINGS[case]
    asked: list[str] = []
    addresses: list[str] = []

    def answer(path: str) -> Answer:
        asked.append(path)
        kind = {"Content-Type": "application/json"}
        if "/tree/" not in path:
            return 200, kind, json.dumps({"id": "me/tiny", "sha": "d" * 40}).encode()
        return 200, {**kind, "Link": f'<{addresses[0]}{path}>; rel="next"'}, json.dumps(entries).encode()

    monkeypatch.setattr(hub_client, "MAX_PAGES", 5)
    monkeypatch.setattr(hub_client, "MAX_PAGE_BYTES", 100_000)
    with hub_at(answer, monkeypatch) as address:
        addresses.append(address)
        with pytest.raises(HeadstartError, match=words) as error:
            hub.resolve("me/tiny", None)
    assert "\n" not in str(error.value) and not any("/resolve/" in path for path in asked)


def test_files_of_a_listing_that_lead_elsewhere_are_not_downloaded() -> None:
    inside = ["config.json", "1_Pooling/config.json", "model.safetensors", "model-00001-of-00002.safetensors"]
    assert all(map(hub._is_needed, inside))
    elsewhere = [
        "../a.json",
        "/a.json",
        "a/../b.json",
        "a//b.json",
        "C:a.json",
        "a\\..\\b.json",
        ".git/a.json",
        "./a.json",
    ]
    assert not any(map(hub._is_needed, [*elsewhere, "pytorch_model.bin", "modeling.py"]))


def test_a_snapshot_without_a_part_of_its_weights_is_not_whole(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", "utf-8")
    (tmp_path / "model-00001-of-00002.safetensors").touch()
    parts = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}), "utf-8")
    assert not hub._is_whole(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").touch()
    assert hub._is_whole(tmp_path)
