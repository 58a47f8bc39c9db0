"""What text models take and give."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import transformers

from stages import backbones
from stages.backbones.text import TextEncoder
from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, FinetuneParams
from tests.backbones import architectures
from tests.backbones.text_backbones import CPU, settings
from tests.projects import WORDS

CANINE = pytest.param("canine", marks=pytest.mark.slow)  # whose tokenizer lists all characters there are
CANINE_64 = pytest.param("canine", 64, marks=pytest.mark.slow)
LONG = " ".join(WORDS * 5)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """`make(name, tokenizer)` gives the folder of a tiny model, with another tokenizer than its own."""

    def made(name: str, tokenizer: Any = None) -> Path:
        folder = architectures.make(tmp_path / name, name)
        if tokenizer:
            tokenizer.save_pretrained(folder)
        return folder

    return made


def load(folder: Path, *, weights: str = "pretrained", **changes: Any) -> TextEncoder:
    spec = BackboneParams(family="transformers", name=str(folder), weights=weights)
    encoder = backbones.load_encoder(spec, settings(normalize=False, **changes), CPU, "text")
    assert isinstance(encoder, TextEncoder)
    return encoder


@pytest.mark.parametrize(
    ("name", "limit"),
    # RoBERTa's positions begin after the padding index, here 0; MPNet's always after 1. CANINE's are hash buckets.
    [
        ("bert", 64),
        ("roberta", 63),
        ("mpnet", 62),
        ("ibert", 63),
        ("siglip-text", 64),
        ("bart", 64),
        ("led", 64),
        ("gpt2", 64),
        CANINE_64,
    ],
)
def test_the_last_position_is_usable_and_the_next_refused(make: Callable[..., Path], name: str, limit: int) -> None:
    folder = make(name)
    assert np.isfinite(load(folder, max_length=limit).encode([LONG, LONG * 9])).all()
    with pytest.raises(HeadstartError, match=f"max_length is {limit + 1}, but .* takes at most {limit} tokens"):
        load(folder, max_length=limit + 1)


@pytest.mark.parametrize("name", ["t5", "xlnet"])
def test_models_of_relative_positions_take_any_length(make: Callable[..., Path], name: str) -> None:
    assert np.isfinite(load(make(name), max_length=700).encode([LONG * 9])).all()


def test_tokens_beyond_the_embedding_table_are_unknown_ones(make: Callable[..., Path]) -> None:
    tokenizer = architectures.words(special=False)
    tokenizer.add_tokens(["surplus"])
    tokenizer.add_special_tokens({"pad_token": "<pad>"})  # as people do for GPT-2
    encoder = load(make("gpt2", tokenizer))
    assert encoder.tokenizer.pad_token_id < architectures.TOKENS
    texts = ["i love surplus", "i love nonsense", "i love"]
    vectors = encoder.encode(texts)
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-3


def test_tokenizers_of_other_models_are_refused(make: Callable[..., Path]) -> None:
    other = transformers.PreTrainedTokenizerFast(tokenizer_object=architectures.words()._tokenizer)
    larger = architectures.letters("Qwen2")
    with pytest.raises(HeadstartError, match=r"has embeddings of 20 tokens, but its tokenizer has 261; use the tok"):
        load(make("llama", larger))
    marked = architectures.words(special=False)
    marked.add_special_tokens({"cls_token": "<start>"})
    marked._tokenizer.post_processor = architectures.processors.TemplateProcessing(
        single="<start> $A", special_tokens=[("<start>", marked.cls_token_id)]
    )
    with pytest.raises(HeadstartError, match=r"has embeddings of 20 tokens, but its tokenizer has 21"):
        load(make("mistral", marked))
    assert load(make("bert", other)).encode(["i love"]).shape == (1, 32)


def test_texts_without_tokens_have_a_vector(make: Callable[..., Path]) -> None:
    vectors = load(make("gpt2")).encode(["", "i", " "])
    assert np.isfinite(vectors).all()
    np.testing.assert_array_equal(vectors[0], vectors[2])


@pytest.mark.parametrize("name", ["fnet", CANINE, "gpt2", "bert"])
def test_a_training_batch_gives_the_vectors_of_rows_alone(make: Callable[..., Path], name: str) -> None:
    encoder = load(make(name))
    texts = ["i love this", "a", "the best movie is a great good product", "i hate this"]
    with torch.no_grad():
        vectors = encoder(encoder.training_batch(encoder.training_rows(texts)))
    np.testing.assert_allclose(vectors.numpy(), encoder.encode(texts), atol=1e-5)


def test_token_dropout_leaves_a_token(make: Callable[..., Path]) -> None:
    encoder = load(make("gpt2"))
    encoder.prepare_training(FinetuneParams(token_dropout=0.99), from_random=False)
    batch = encoder.training_batch(encoder.training_rows(["i", "love this"] * 50))
    assert (batch["attention_mask"].sum(dim=1) > 0).all()


def test_vectors_of_bigbird_do_not_depend_on_earlier_batches(make: Callable[..., Path]) -> None:
    folder = make("bigbird")
    encoder = load(folder, max_length=120)
    before = encoder.encode([LONG])
    encoder.encode(["i"])
    np.testing.assert_array_equal(encoder.encode([LONG]), before)
    np.testing.assert_array_equal(load(folder, max_length=120).encode(["i", LONG])[1:], before)


def test_the_encoder_of_an_encoder_decoder_is_written_as_transformers_reads_it(
    make: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make("t5")
    encoder = load(folder)
    (tmp_path / "out").mkdir()
    encoder.export(tmp_path / "out")
    alone = transformers.T5EncoderModel.from_pretrained(tmp_path / "out")
    for key, tensor in encoder.body.state_dict().items():
        assert torch.equal(alone.encoder.state_dict()[key], tensor)
    again = load(folder, weights=str(tmp_path / "out/model.safetensors"))
    np.testing.assert_array_equal(again.encode(WORDS), encoder.encode(WORDS))
    random = [load(folder, weights="random").encode(WORDS) for _ in range(2)]
    np.testing.assert_array_equal(*random)


@pytest.mark.parametrize(("name", "lost"), [("t5", "shared.weight"), ("bart", "encoder.layers.1.fc1.weight")])
def test_weights_that_the_encoder_lacks_are_named_and_those_of_the_decoder_are_not_needed(
    make: Callable[..., Path], tmp_path: Path, name: str, lost: str
) -> None:
    folder = make(name)
    state = safetensors.torch.load_file(folder / "model.safetensors")
    write = partial(safetensors.torch.save_file, filename=tmp_path / "other.safetensors", metadata={"format": "pt"})
    write({key: tensor for key, tensor in state.items() if not key.startswith("decoder.")})
    np.testing.assert_array_equal(
        load(folder, weights=str(tmp_path / "other.safetensors")).encode(WORDS), load(folder).encode(WORDS)
    )
    write({key: tensor for key, tensor in state.items() if key != lost})
    with pytest.raises(HeadstartError, match=r"weights of .* lack"):
        load(folder, weights=str(tmp_path / "other.safetensors"))


def test_a_tower_may_have_any_configuration_beside_it(make: Callable[..., Path], tmp_path: Path) -> None:
    folder = shutil.copytree(make("bert"), tmp_path / "odd")
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "text_config": {"a": 1}}), "utf-8")
    np.testing.assert_array_equal(load(folder).encode(WORDS), load(make("bert")).encode(WORDS))


LEFT_TO_RIGHT = {"bloom", "gemma", "gemma3-text", "gpt-neox", "gpt2", "llama", "mamba", "mamba2", "mistral", "mixtral"}
LEFT_TO_RIGHT |= {"opt", "phi3", "qwen2", "qwen3", "rwkv", "clip-text", "falcon", "recurrent-gemma"}
NO_TEXTS = {"reformer", "perceiver", "funnel-base", "dpr", "whisper-text", "vit-as-text"}  # refused in any case
QUICK = ("bert", "gpt2", "llama", "t5", "mamba", "fnet")


@pytest.mark.filterwarnings("ignore")  # of transformers, about configurations as small as these
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow])
        for name in sorted({*architectures.TEXTS} - NO_TEXTS)
    ],
)
def test_the_first_token_is_no_vector_of_a_text_that_is_read_from_left_to_right(
    make: Callable[..., Path], name: str
) -> None:
    folder = make(name)
    if name in LEFT_TO_RIGHT:
        with pytest.raises(
            HeadstartError, match=r"pooling cls takes the first token .* set extract\.pooling to mean or max"
        ):
            load(folder, pooling="cls")
    else:
        assert load(folder, pooling="cls").settings.pooling == "cls"
    assert load(folder, pooling="max").settings.pooling == "max"
