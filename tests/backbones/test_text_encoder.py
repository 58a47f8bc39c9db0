"""Text encoders of transformers."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from stages.backbones.text import TextEncoder, padded_length
from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams
from tests.backbones.text_backbones import CPU, REVISION, TEXTS, load, settings
from tests.projects import MINILM


def spec(folder: Path | str, **changes: Any) -> BackboneParams:
    return BackboneParams(**{"family": "transformers", "name": str(folder), **changes})


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize("normalize", [True, False])
def test_vectors_are_those_of_the_model_alone(tiny_encoder: Path, pooling: str, normalize: bool) -> None:
    backbone = load(spec(tiny_encoder), settings(pooling=pooling, normalize=normalize), CPU)
    assert isinstance(backbone, TextEncoder)
    vectors = backbone.encode(TEXTS)
    assert vectors.shape == (4, 32) == (4, backbone.dim) and vectors.dtype == np.float32
    for text, vector in zip(TEXTS, vectors, strict=True):
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
    config.write_text(json.dumps({**json.loads(config.read_text("utf-8")), "transformers_version": "9"}), "utf-8")
    assert digest() == base
    digests = {base, digest(pooling="cls"), digest(max_length=8), digest(normalize=False), digest(dtype="float32")}
    weights = tmp_path / "model/model.safetensors"
    state = safetensors.torch.load_file(weights)
    state["embeddings.word_embeddings.weight"][0, 0] += 1
    safetensors.torch.save_file(state, weights, metadata={"format": "pt"})
    assert len(digests | {digest()}) == 6


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


def test_folders_that_hold_no_encoder_are_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(HeadstartError, match=r"no config\.json"):
        load(spec(tmp_path), settings(), CPU)
    with pytest.raises(HeadstartError, match="cannot be a name on the hub"):
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
    """Similar sentences have similar vectors, and no vector depends on the other texts of its batch."""
    backbone = load(spec(MINILM, revision=REVISION), ExtractParams(), CPU)
    texts = ["A cat sits on the mat.", "A kitten rests on the rug.", "Interest rates rose again this quarter."]
    X = backbone.encode(texts)
    assert X.shape == (3, 384)
    assert X[0] @ X[1] > 0.5
    assert X[0] @ X[2] < 0.2
    np.testing.assert_allclose(backbone.encode(texts[::-1])[::-1], X, atol=1e-6)
