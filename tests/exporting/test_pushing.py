"""export --push: the hub gets the exported folder and nothing else, and its refusals are one sentence."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, constants

from stages.common.errors import HeadstartError
from stages.exporting import pushing
from tests.exporting import uploads
from tests.exporting.uploads import Hub
from tests.projects import contents, stage


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with uploads.running(monkeypatch) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.json").write_text("{}\n", "utf-8")
    (tmp_path / "model.onnx").write_bytes(b"graph")
    (tmp_path / "mine.txt").write_text("secret", "utf-8")
    return tmp_path


FILES = ["model.json", "model.onnx"]


def test_an_export_is_pushed_whole_and_alone(finished: Path, hub: Hub) -> None:
    done = stage(finished, "export", "data/head", "out", "--push", "hf:me/reviews")
    assert hub.files["me/reviews"] == contents(finished / "out") and hub.commits == 1
    assert f"export: 5 files of out -> {hub.address}/me/reviews (private), in " in done.stdout
    card = ModelCard(hub.files["me/reviews"]["README.md"].decode())
    assert card.data.pipeline_tag == "text-classification" and card.data.library_name == "onnx"
    assert card.data.eval_results is not None and card.data.eval_results[0].metric_type == "accuracy"
    assert "(95 % interval 0." in str(card.data.eval_results[0].metric_name)


def test_only_the_files_of_the_export_are_uploaded(folder: Path, hub: Hub) -> None:
    pushing.push(folder, FILES, "me/model", is_public=False)
    assert hub.files["me/model"] == {"model.json": b"{}\n", "model.onnx": b"graph"}


def test_a_new_repository_is_private_unless_it_is_asked_to_be_public(folder: Path, hub: Hub) -> None:
    assert pushing.push(folder, FILES, "me/first", is_public=False).endswith("/me/first (private)")
    assert pushing.push(folder, FILES, "me/second", is_public=True).endswith("/me/second (public)")
    assert hub.private == {"me/first": True, "me/second": False}


def test_a_second_push_adds_a_commit_to_a_repository_that_stays_public(folder: Path, hub: Hub) -> None:
    pushing.push(folder, FILES, "me/model", is_public=True)
    (folder / "model.onnx").write_bytes(b"better")
    assert pushing.push(folder, FILES, "me/model", is_public=False).endswith("(public)")
    assert hub.files["me/model"]["model.onnx"] == b"better" and hub.commits == 2


def test_the_hubs_refusals_are_one_sentence(folder: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HeadstartError, match=r"cannot be pushed to them/model at .*: the token may not write there"):
        pushing.push(folder, FILES, "them/model", is_public=False)
    hub.files["them/open"], hub.private["them/open"] = {}, False
    monkeypatch.setattr(Hub, "_commit", lambda *_: (403, {"error": "Forbidden"}))
    with pytest.raises(HeadstartError, match="the token may not write there"):
        pushing.push(folder, FILES, "them/open", is_public=False)
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    with pytest.raises(HeadstartError, match="it does not accept the token; log in with `hf auth login`"):
        pushing.push(folder, FILES, "me/model", is_public=False)


def test_a_hub_that_cannot_be_reached_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", uploads.TOKEN)
    with pytest.raises(
        HeadstartError, match=r"is written, but cannot be pushed .* check the network, and run it again"
    ):
        pushing.push(folder, FILES, "me/model", is_public=False)


@pytest.mark.parametrize("name", ["me/model", "hf:model", "hf:a/b/c", "hf:me/a b", "hf:../x", "hf:me/", "hf:me/a--b"])
def test_names_that_no_repository_has_are_refused(name: str, hub: Hub) -> None:
    with pytest.raises(HeadstartError, match="but must be hf:OWNER/NAME"):
        pushing.repository(name)


def test_a_push_without_a_token_or_network_is_refused_before_any_work(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pushing.repository("hf:me/my.model-1") == "me/my.model-1"
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.delenv("HF_TOKEN")
    done = stage(tmp_path, "export", "head", "out", "--push", "hf:me/model", check=False)
    assert done.returncode == 1 and "needs a token of the hub" in done.stderr and "hf auth login" in done.stderr
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HeadstartError, match="HF_HUB_OFFLINE is set"):
        pushing.repository("hf:me/model")


def test_public_needs_a_push(tmp_path: Path) -> None:
    done = stage(tmp_path, "export", "head", "out", "--public", check=False)
    assert done.returncode == 1 and "--public is of the repository that --push makes" in done.stderr
