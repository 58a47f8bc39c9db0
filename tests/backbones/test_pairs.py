"""`extract.combine: pair`: two texts as the tokenizer's own pair, with transformers as the oracle."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from stages import backbones
from stages.backbones import windows
from stages.backbones.recipe import Recipe
from stages.backbones.text import TextEncoder
from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, ExtractParams
from stages.tables import prepared
from tests.backbones import architectures
from tests.backbones.text_backbones import CPU, load

LONG = "the best movie is a great good bad product i hate "
PAIRS = [
    ("i love this", "product"),
    ("product", "i love this"),
    ("", "awful movie"),
    ("awful movie", ""),
    (LONG * 4, "i love this movie"),
    ("i love this movie", LONG * 4),
    (LONG * 3, LONG * 2 + "bad"),
    (LONG * 2, LONG * 2),
]
QUICK = ("bert", "roberta", "t5", "canine")


def encoder(folder: Path, **settings: Any) -> TextEncoder:
    spec = BackboneParams(family="transformers", name=str(folder))
    loaded = load(spec, ExtractParams(**{"max_length": 32, "combine": "pair", "normalize": False, **settings}), CPU)
    assert isinstance(loaded, TextEncoder)
    return loaded


def assert_are_of_pairs(ours: TextEncoder, model: Any, tokenizer: Any) -> None:
    """The vectors of PAIRS are the means over what `model` makes of the pairs that `tokenizer` makes."""
    wanted = []
    for first, second in PAIRS:
        # In lists, since alone an empty second text is taken for none at all.
        tokens = tokenizer([first], [second], truncation=True, max_length=ours.max_length, return_tensors="pt")
        with torch.no_grad():
            wanted.append(model(**tokens).last_hidden_state[0].mean(0).numpy())
    X, Y = ours.encode(PAIRS), np.array(wanted)
    cosine = (X * Y).sum(axis=1) / np.linalg.norm(X, axis=1) / np.linalg.norm(Y, axis=1)
    assert cosine.min() > 0.999999, cosine


def test_vectors_are_those_of_transformers_own_pairs(tiny_encoder: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_encoder)
    tokens = tokenizer("i love this", "product")
    assert tokens["token_type_ids"] == [0, 0, 0, 0, 0, 1, 1], "the model is told which text a token is of"
    assert_are_of_pairs(encoder(tiny_encoder), transformers.AutoModel.from_pretrained(tiny_encoder).eval(), tokenizer)
    X = encoder(tiny_encoder).encode(PAIRS)
    assert np.abs(X[0] - X[1]).max() > 0.01, "the order counts"
    np.testing.assert_array_equal(X, np.concatenate([encoder(tiny_encoder).encode([pair]) for pair in PAIRS]))


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("max_length", [5, 6, 9, 32])
def test_pairs_are_cut_as_the_tokenizer_cuts_them(tiny_encoder: Path, side: str, max_length: int) -> None:
    pairs = encoder(tiny_encoder, max_length=max_length)
    pairs.tokenizer.truncation_side = side
    pairs._pair_frame = windows.pair_frame(pairs.tokenizer, pairs.recipe, "")
    for first in range(14):
        for second in range(14):
            pair = " ".join(LONG.split()[:first]), " ".join(["movie", *LONG.split()][:second])
            wanted = pairs.tokenizer(*([text] for text in pair), truncation=True, max_length=max_length)
            assert pairs.training_rows([pair]) == [{name: row for name, (row,) in wanted.items()}], pair


def test_neither_text_is_lost_and_all_tokens_are_counted(tiny_encoder: Path) -> None:
    pairs = encoder(tiny_encoder, max_length=12)
    tokens = {
        position: count
        for part in pairs.stream(PAIRS)
        for position, count in zip(part.positions, part.tokens, strict=True)
    }
    assert [tokens[row] for row in range(len(PAIRS))] == [
        len(ids) for ids in pairs.tokenizer(*(list(texts) for texts in zip(*PAIRS, strict=True)))["input_ids"]
    ]
    (row,) = pairs.training_rows([PAIRS[6]])
    assert row["token_type_ids"] == [0] * 7 + [1] * 5, "five tokens of the first text, four of the second"


def test_a_prompt_is_before_the_first_text_and_stays(tiny_encoder: Path) -> None:
    pairs = encoder(tiny_encoder, max_length=12, prompt="i love ")
    for pair, row in zip(PAIRS, pairs.training_rows(PAIRS), strict=True):
        assert len(row["input_ids"]) <= 12
        assert row["input_ids"][1:3] == pairs.tokenizer("i love", add_special_tokens=False)["input_ids"], pair
    with pytest.raises(HeadstartError, match=r"max_length is 6, but extract\.prompt .* of a pair take 5; raise"):
        encoder(tiny_encoder, max_length=6, prompt="i love")


def test_training_sees_the_pairs_that_extract_reads(tiny_encoder: Path) -> None:
    pairs = encoder(tiny_encoder)
    with torch.no_grad():
        trained = pairs(pairs.training_batch(pairs.training_rows(PAIRS)))
    np.testing.assert_allclose(trained, pairs.encode(PAIRS), atol=1e-5)


def test_an_export_reads_pairs_too(tiny_encoder: Path, tmp_path: Path) -> None:
    pairs = encoder(tiny_encoder)
    pairs.encode(PAIRS)
    pairs.export(tmp_path)
    spec = BackboneParams(family="transformers", name=str(tiny_encoder))
    again = backbones.load_finetuned(tmp_path, spec, pairs.settings, CPU, "text")
    np.testing.assert_array_equal(again.encode(PAIRS), pairs.encode(PAIRS))


def test_the_fingerprint_of_joined_texts_is_what_it_was(tiny_encoder: Path) -> None:
    joined, paired = encoder(tiny_encoder, combine="join"), encoder(tiny_encoder)
    assert "combine" not in joined.recipe.decisive() and joined.fingerprint != paired.fingerprint
    assert paired.recipe_sentence == joined.recipe_sentence + ", the texts of two columns as a pair"


def test_keys_of_pairs_depend_on_where_the_first_text_ends() -> None:
    pairs = [("ab", "c"), ("a", "bc"), ("", "abc"), ("abc", ""), ("2:ab", "c")]
    keys = {prepared.content_id(content) for content in [*pairs, "abc", "2:abc"]}
    assert len(keys) >= len(pairs) + 1


def names() -> list[Any]:
    slow = pytest.mark.slow
    without = {"reformer", "perceiver", "funnel-base", "dpr", "whisper-text", "vit-as-text"}  # encode no texts at all
    return [pytest.param(name, marks=[] if name in QUICK else [slow]) for name in {*architectures.TEXTS} - without]


@pytest.mark.filterwarnings("ignore")  # of transformers, about configurations as small as these
@pytest.mark.parametrize("name", sorted(names(), key=lambda name: str(name.values)))
def test_an_architecture_reads_pairs_or_is_refused(name: str, tmp_path: Path) -> None:
    folder = architectures.make(tmp_path / "model", name)
    if transformers.AutoTokenizer.from_pretrained(folder).num_special_tokens_to_add(pair=True) == 0:
        with pytest.raises(HeadstartError, match=r"combine is pair, but .* reads no pairs of texts \(.*; set combine"):
            encoder(folder, max_length=60)
        return
    pairs = encoder(folder, max_length=60)
    X = pairs.encode(PAIRS[:6])
    assert np.isfinite(X).all() and len(np.unique(X, axis=0)) == 6


def test_models_without_a_form_for_pairs_are_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    gpt2 = architectures.make(tmp_path / "gpt2", "gpt2")
    with pytest.raises(HeadstartError, match="puts nothing between the two"):
        encoder(gpt2)
    one_type = architectures.make(tmp_path / "one", "roberta")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_encoder)  # with the token types of BERT
    tokenizer.save_pretrained(one_type)
    with pytest.raises(HeadstartError, match=r"reads no pairs of texts \(index"):
        encoder(one_type)


def test_other_families_and_images_are_refused() -> None:
    settings = ExtractParams(combine="pair")
    with pytest.raises(HeadstartError, match="family tfidf reads no pairs of texts; set combine to join"):
        load(BackboneParams(family="tfidf", name="word"), settings, CPU)
    for family in ("transformers", "torchvision", "timm", "pixels"):
        spec = BackboneParams(family=family, name="rgb")  # type: ignore[arg-type]
        with pytest.raises(HeadstartError, match="the prepared rows hold images; set combine to join"):
            backbones.load(spec, settings, CPU, modality="image")


def test_longest_first() -> None:
    assert windows._longest_first(3, 90, 10) == (3, 7) and windows._longest_first(90, 3, 10) == (7, 3)
    assert windows._longest_first(0, 90, 9) == (0, 9) and windows._longest_first(9, 9, 9) == (4, 5)
    assert Recipe().combine == "join"
