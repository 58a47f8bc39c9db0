import functools
import http.server
import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from stages import backbones
from stages.backbones import hub
from stages.backbones.text import TextEncoder, padded_length
from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams
from tests.conftest import MINILM, ROOT

TEXTS = ["i love this product", "this is terrible", "awful", "the best movie is a great good bad product i hate"]
REVISION = next(revision for name, revision in hub.PACKAGED if name == MINILM)
CPU = RuntimeParams(device="cpu")
load = functools.partial(backbones.load, modality="text")


def settings(**changes: Any) -> ExtractParams:
    return ExtractParams(**{"max_length": 32, **changes})


def spec(folder: Path | str, **changes: Any) -> BackboneParams:
    return BackboneParams(**{"family": "transformers", "name": str(folder), **changes})


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize("normalize", [True, False])
def test_vectors_are_those_of_the_model_alone(tiny_encoder: Path, pooling: str, normalize: bool) -> None:
    backbone = load(spec(tiny_encoder), settings(pooling=pooling, normalize=normalize), CPU)
    assert isinstance(backbone, TextEncoder)
    found = backbone.encode(TEXTS)
    assert found.shape == (4, 32) == (4, backbone.dim) and found.dtype == np.float32
    for text, vector in zip(TEXTS, found, strict=True):
        tokens = backbone.tokenizer(text, return_tensors="pt")  # alone: no padding at all
        with torch.no_grad():
            hidden = backbone.body(**tokens).last_hidden_state[0]
        wanted = {"mean": hidden.mean(0), "cls": hidden[0], "max": hidden.amax(0)}[pooling].numpy()
        wanted = wanted / np.linalg.norm(wanted) if normalize else wanted
        np.testing.assert_allclose(vector, wanted, atol=1e-5)


def test_long_texts_are_cut_and_a_limit_beyond_the_model_is_refused(tiny_encoder: Path) -> None:
    backbone = load(spec(tiny_encoder), settings(max_length=6), CPU)
    np.testing.assert_allclose(*backbone.encode(["i love this product a", "i love this product"]), atol=1e-6)
    with pytest.raises(HeadstartError, match=r"max_length is 65, but .* at most 64 tokens"):
        load(spec(tiny_encoder), settings(max_length=65), CPU)


def test_padded_lengths_are_exact_when_short_and_waste_little_when_long() -> None:
    for tokens in range(1, 513):
        assert tokens <= padded_length(tokens, 512) <= max(tokens, tokens * 17 / 16 + 1)
    assert [padded_length(n, 512) for n in (1, 31, 33, 100)] == [1, 31, 34, 100]
    assert padded_length(129, 130) == 130


def test_the_fingerprint_changes_with_all_that_decides_a_vector_and_nothing_else(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "model")

    def digest(**changes: Any) -> str:
        return load(spec(tmp_path / "model"), settings(**changes), CPU).fingerprint

    base = digest()
    assert base == digest()
    config = tmp_path / "model/config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "transformers_version": "9"}))
    assert digest() == base
    found = {base, digest(pooling="cls"), digest(max_length=8), digest(normalize=False), digest(dtype="float32")}
    weights = tmp_path / "model/model.safetensors"
    state = safetensors.torch.load_file(weights)
    state["embeddings.word_embeddings.weight"][0, 0] += 1
    safetensors.torch.save_file(state, weights, metadata={"format": "pt"})
    assert len(found | {digest()}) == 6


def test_weights_from_a_file_and_random_weights(tiny_encoder: Path, tmp_path: Path) -> None:
    pretrained = load(spec(tiny_encoder), settings(), CPU)
    state = safetensors.torch.load_file(tiny_encoder / "model.safetensors")
    good, bad = tmp_path / "good.safetensors", tmp_path / "bad.safetensors"
    safetensors.torch.save_file({**state, "classifier.weight": torch.ones(2, 32)}, good, metadata={"format": "pt"})
    del state["encoder.layer.1.output.dense.weight"]
    safetensors.torch.save_file(state, bad, metadata={"format": "pt"})
    loaded = load(spec(tiny_encoder, weights=str(good)), settings(), CPU)
    np.testing.assert_array_equal(loaded.encode(TEXTS), pretrained.encode(TEXTS))
    with pytest.raises(HeadstartError, match=r"bad\.safetensors lack encoder\.layer\.1\.output\.dense\.weight"):
        load(spec(tiny_encoder, weights=str(bad)), settings(), CPU)
    with pytest.raises(HeadstartError, match=r"must be pretrained, random or a \.safetensors file"):
        load(spec(tiny_encoder, weights="absent.pt"), settings(), CPU)
    random = [load(spec(tiny_encoder, weights="random"), settings(), CPU).encode(TEXTS) for _ in range(2)]
    np.testing.assert_array_equal(*random)
    assert np.abs(random[0] - pretrained.encode(TEXTS)).max() > 0.01


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
    (refs / "main").write_text(commit)
    assert hub.resolve("me/tiny", commit) == (snapshot, commit) == hub.resolve("me/tiny", None)
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(HeadstartError, match="not on this machine"):
        hub.resolve("me/tiny", commit)


def test_without_a_network_one_error_says_what_to_do_within_seconds() -> None:
    start = time.perf_counter()
    with pytest.raises(HeadstartError) as error:
        hub.resolve("nobody/nothing", "b" * 40)
    assert time.perf_counter() - start < 20
    for words in ("hub cannot be reached", f"hf download nobody/nothing --revision {'b' * 40}", "set backbone.name"):
        assert words in str(error.value)


def test_a_model_is_downloaded_from_the_hub(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a hub of our own on loopback that speaks the two calls a download makes."""
    commit = "c" * 40
    names = [path.name for path in tiny_encoder.iterdir()] + ["pytorch_model.bin"]
    asked: list[str] = []

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            asked.append(self.path)
            name = self.path.split("?")[0].rsplit("/", 1)[-1]
            if self.path.startswith("/api/models/me/tiny"):
                kind = "application/json"
                if "/tree/" in self.path:
                    files = [n for n in names if (tiny_encoder / n).exists()]
                    sizes = {n: (tiny_encoder / n).stat().st_size for n in files}
                    body = json.dumps([{"type": "file", "path": n, "size": sizes[n], "oid": n} for n in files]).encode()
                else:
                    siblings = [{"rfilename": each} for each in names]
                    body = json.dumps({"id": "me/tiny", "sha": commit, "siblings": siblings}).encode()
            elif self.path.startswith(f"/me/tiny/resolve/{commit}/"):
                kind, body = "application/octet-stream", (tiny_encoder / name).read_bytes()
            else:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{name}"')
            self.send_header("X-Repo-Commit", commit)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    for constant in ("ENDPOINT", "HUGGINGFACE_CO_URL_HOME"):
        monkeypatch.setattr(f"huggingface_hub.constants.{constant}", address, raising=False)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", address, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    try:
        folder, revision = hub.resolve("me/tiny", None)
    finally:
        server.shutdown()
    assert revision == commit
    assert (folder / "model.safetensors").read_bytes() == (tiny_encoder / "model.safetensors").read_bytes()
    assert not any("pytorch_model.bin" in path for path in asked)
    assert hub.resolve("me/tiny", commit) == (folder, commit), "and then found in the cache"


def test_folders_that_hold_no_encoder_are_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(HeadstartError, match=r"no config\.json"):
        load(spec(tmp_path), settings(), CPU)
    with pytest.raises(HeadstartError, match="cannot be a hub's name"):
        load(spec("no/such/folder"), settings(), CPU)
    pickled = tmp_path / "pickled"
    shutil.copytree(tiny_encoder, pickled)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(HeadstartError, match="no pickled weights"):
        load(spec(pickled), settings(), CPU)
    with pytest.raises(HeadstartError, match=r"torchvision does not encode text.*use transformers or tfidf"):
        load(spec("vgg16", family="torchvision"), settings(), CPU)
    if not torch.cuda.is_available():
        with pytest.raises(HeadstartError, match="which this machine does not have"):
            load(spec(tiny_encoder), settings(), RuntimeParams(device="cuda"))


def test_the_default_backbone_gives_the_vectors_of_minilm() -> None:
    """Similar sentences are near, and the vectors do not depend on what they are encoded with."""
    backbone = load(spec(MINILM, revision=REVISION), ExtractParams(), CPU)
    texts = ["A cat sits on the mat.", "A kitten rests on the rug.", "Interest rates rose again this quarter."]
    X = backbone.encode(texts)
    assert X.shape == (3, 384)
    assert X[0] @ X[1] > 0.5
    assert X[0] @ X[2] < 0.2
    np.testing.assert_allclose(backbone.encode(texts[::-1])[::-1], X, atol=1e-6)


def test_tfidf_is_that_of_scikit_learn_and_survives_saving(tmp_path: Path) -> None:
    words = BackboneParams(family="tfidf", name="word")
    backbone = load(words, settings(), CPU, training_texts=lambda: TEXTS)
    wanted = TfidfVectorizer().fit(TEXTS)
    np.testing.assert_allclose(backbone.encode(TEXTS).toarray(), wanted.transform(TEXTS).toarray(), atol=1e-6)
    backbone.save(tmp_path)
    again = load(words, settings(), CPU, saved=tmp_path)
    assert again.fingerprint == backbone.fingerprint
    assert (again.encode(TEXTS) != backbone.encode(TEXTS)).nnz == 0
    other = load(words, settings(), CPU, training_texts=lambda: [*TEXTS, "more words"])
    assert other.fingerprint != backbone.fingerprint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": MINILM}, "tfidf knows word and char_wb"),
        ({"weights": "random"}, "no weights to draw"),
        ({"weights": "absent.txt"}, "one document a line"),
        ({"weights": str(ROOT / "data/pretrained")}, "one document a line"),
        ({"weights": "EMPTY"}, "holds no words"),
    ],
)
def test_tfidf_that_cannot_be_fitted_is_refused(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    if changes.get("weights") == "EMPTY":
        (tmp_path / "empty.txt").write_text("\n")
        changes = {"weights": str(tmp_path / "empty.txt")}
    with pytest.raises(HeadstartError, match=message):
        load(BackboneParams(**{"family": "tfidf", "name": "word", **changes}), settings(), CPU)
