"""Text encoders that are loaded without transformers once they are described."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages import backbones
from stages.backbones import deferred
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams
from tests.projects import ROOT, make_tiny_encoder, run

CPU = RuntimeParams(device="cpu")
TEXTS = ["i love this", "", "awful " * 9, "great movie " * 40, "an unknown word"]
PAIRS = [("i love this", "awful"), ("", "great"), ("good " * 50, "bad " * 3)]


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))


def described(folder: Path, settings: ExtractParams, monkeypatch: pytest.MonkeyPatch, inputs: list[Any]) -> bool:
    """Whether a described encoder does without transformers; its vectors and counts must be those of transformers."""
    spec = BackboneParams(family="transformers", name=str(folder))
    before = deferred.load(spec, settings, CPU, modality="text")
    loads: list[int] = []
    real = backbones.load_encoder
    monkeypatch.setattr(backbones, "load_encoder", lambda *given: (loads.append(1), real(*given))[1])
    later = deferred.load(spec, settings, CPU, modality="text")
    for one, other in zip(later.encode_with_tokens(inputs), before.encode_with_tokens(inputs), strict=True):  # type: ignore[attr-defined]
        assert np.array_equal(one, other)
    return not loads


@pytest.mark.parametrize(
    "changes", [{}, {"pooling": "cls"}, {"long": "chunks"}, {"prompt": "this "}, {"max_length": 9}]
)
def test_the_vectors_of_bert_are_those_of_transformers_to_the_bit(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    assert described(tiny_encoder, ExtractParams(**changes), monkeypatch, TEXTS)


def test_the_vectors_of_pairs_are_those_of_transformers_to_the_bit(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert described(tiny_encoder, ExtractParams(combine="pair"), monkeypatch, PAIRS)


def test_weights_of_a_model_of_masked_words_are_those_of_its_encoder(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import BertForMaskedLM

    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "masked"))
    BertForMaskedLM.from_pretrained(tiny_encoder).save_pretrained(folder)
    assert described(folder, ExtractParams(), monkeypatch, TEXTS)


@pytest.mark.parametrize("key", ["hidden_act", "is_decoder"])
def test_a_network_that_computes_something_else_is_left_to_transformers(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "other"))
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config[key] = {"hidden_act": "relu", "is_decoder": True}[key]
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    assert not described(folder, ExtractParams(), monkeypatch, TEXTS)


def test_a_tokenizer_that_transformers_changes_is_left_to_it(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages.backbones import light_tokenizer

    real = light_tokenizer.read
    monkeypatch.setattr(light_tokenizer, "read", lambda folder: _with_another_token(real(folder)))
    assert not described(tiny_encoder, ExtractParams(), monkeypatch, TEXTS)


def _with_another_token(tokenizer: Any) -> Any:
    tokenizer.add_tokens(["zebra"])
    return tokenizer


def test_a_process_encodes_texts_without_importing_transformers(tmp_path: Path) -> None:
    folder = make_tiny_encoder(tmp_path / "encoder")
    code = f"""if True:
        import sys
        from stages.backbones import deferred
        from stages.common.params import BackboneParams, ExtractParams, RuntimeParams
        spec = BackboneParams(family="transformers", name={str(folder)!r})
        encoder = deferred.load(spec, ExtractParams(), RuntimeParams(device="cpu"), modality="text")
        print(encoder.encode(["i love this"])[0, :3].tolist(), *{{"transformers", "torch._dynamo"}} & {{*sys.modules}})
    """
    spec = BackboneParams(family="transformers", name=str(folder))
    vectors = deferred.load(spec, ExtractParams(), CPU, modality="text").encode(["i love this"])
    assert isinstance(vectors, np.ndarray)
    assert run(ROOT, sys.executable, "-c", code).stdout.strip() == str(vectors[0, :3].tolist())
