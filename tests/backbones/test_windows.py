"""Texts that are longer than a model reads: cut, or read in windows."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages.backbones import windows
from stages.backbones.recipe import Recipe
from stages.backbones.text import TextEncoder
from stages.backbones.windows import Frame
from stages.common.params import BackboneParams, ExtractParams
from tests.backbones.text_backbones import CPU, TEXTS, load


def encoder(folder: Path, **settings: Any) -> TextEncoder:
    loaded = load(
        BackboneParams(family="transformers", name=str(folder)), ExtractParams(max_length=12, **settings), CPU
    )
    assert isinstance(loaded, TextEncoder)
    return loaded


def ids(row: dict[str, list[int]]) -> list[int]:
    return row["input_ids"]


@pytest.mark.parametrize("length", [1, 9, 10, 11, 18, 19, 20, 27, 28, 100])
def test_windows_hold_every_token_overlap_and_have_all_special_tokens(length: int) -> None:
    text = [*range(100, 100 + length)]
    rows = {"input_ids": [1, *text, 2, 3], "attention_mask": [1] * (length + 3)}
    frame = Frame(head=1, tail=2, max_length=12)
    parts = [ids(window) for window in frame.windows(rows)]
    assert all(part[0] == 1 and part[-2:] == [2, 3] and len(part) <= 12 for part in parts)
    assert {token for part in parts for token in part[1:-2]} == {*text}
    assert all(len(part) == 12 and part[-3] == after[1] for part, after in itertools.pairwise(parts))
    assert ids(frame.cut(rows)) == parts[0]


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("max_length", [2, 3, 7, 12])
def test_texts_are_cut_as_the_tokenizer_cuts_them(tiny_encoder: Path, side: str, max_length: int) -> None:
    tokenizer = encoder(tiny_encoder).tokenizer
    tokenizer.truncation_side = side
    frame = windows.frame(tokenizer, Recipe(max_length=max_length))
    for text in [*TEXTS, "good bad movie " * 9]:
        wanted = tokenizer(text, truncation=True, max_length=max_length)
        assert frame.cut(dict(tokenizer(text))) == dict(wanted)


def test_a_text_in_windows_is_the_mean_of_its_windows_by_their_tokens(tiny_encoder: Path) -> None:
    text = "i love this product is terrible great awful the a best movie bad good " * 3
    whole = encoder(tiny_encoder, long="chunks", normalize=False)
    (row,) = whole.training_rows([text])
    parts = whole.frame.windows(row)
    assert len(parts) == 5
    with torch.no_grad():
        hidden = [whole.body(**{k: torch.tensor([v]) for k, v in part.items()}).last_hidden_state[0] for part in parts]
    np.testing.assert_allclose(whole.encode([text])[0], torch.cat(hidden).mean(0), atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_short_texts_get_the_same_bits(tiny_encoder: Path, pooling: str) -> None:
    texts = ["good " * (1 + row % 10) for row in range(40)]
    mixed = [text for pair in zip(texts, ["movie " * 60] * 40, strict=True) for text in pair]
    X = encoder(tiny_encoder, long="chunks", pooling=pooling).encode(mixed)
    np.testing.assert_array_equal(X[::2], encoder(tiny_encoder, pooling=pooling).encode(texts))
    np.testing.assert_array_equal(X[1::2], X[1::2][:1].repeat(40, 0))


def test_a_prompt_is_before_every_window(tiny_encoder: Path) -> None:
    whole = encoder(tiny_encoder, long="chunks", prompt="i love ")
    (row,) = whole.training_rows(["good bad movie " * 9])
    assert {tuple(ids(part)[:3]) for part in whole.frame.windows(row)} == {tuple(ids(row)[:3])}


def test_training_sees_all_windows_as_extract_does(tiny_encoder: Path) -> None:
    texts = ["good bad movie " * 9, "i love this", "movie " * 40]
    whole = encoder(tiny_encoder, long="chunks")
    with torch.no_grad():
        trained = whole(whole.training_batch(whole.training_rows(texts)))
    np.testing.assert_allclose(trained, whole.encode(texts), atol=1e-5)


def test_tokens_of_whole_texts_are_counted(tiny_encoder: Path) -> None:
    texts = ["good bad movie " * 9, "i love this"]
    for long in ("cut", "chunks"):
        counted = {
            p: t
            for e in encoder(tiny_encoder, long=long).stream(texts)
            for p, t in zip(e.positions, e.tokens, strict=True)
        }
        assert counted == {0: 29, 1: 5}
