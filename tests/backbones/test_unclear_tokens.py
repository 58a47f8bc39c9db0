"""Tokens that tell a backbone nothing: MiniLM on texts of languages that it knows, and of those that it does not."""

import pytest

from stages import backbones
from stages.backbones.encoder import Encoder
from stages.backbones.text_traits import unclear
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams
from stages.evaluation.advice import MAX_UNCLEAR
from tests.projects import MINILM, REVISION

KNOWN = {
    "English": "these headphones broke after a week and the service was rude",
    "German": "das Produkt ist sehr gut und kam schnell an, ich bin zufrieden",
    "numbers": "order 4711 of 12.10.2024: 3 x 19.99, paid 59.97",
}
UNKNOWN = {
    "Greek": "\u03c4\u03bf \u03c0\u03c1\u03bf\u03b9\u03cc\u03bd \u03ba\u03b1\u03bb\u03cc",
    "Thai": "\u0e2a\u0e34\u0e19\u0e04\u0e49\u0e32\u0e14\u0e35\u0e21\u0e32\u0e01",
    "Chinese": "\u8fd9\u4e2a\u4ea7\u54c1\u975e\u5e38\u597d\uff0c\u7269\u6d41\u5f88\u5feb",
    "Russian": "\u0445\u043e\u0440\u043e\u0448\u0438\u0439 \u0442\u043e\u0432\u0430\u0440",
}


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    spec = BackboneParams(family="transformers", name=MINILM, revision=REVISION)
    return backbones.load_encoder(spec, ExtractParams(), RuntimeParams(device="cpu"), "text")


@pytest.mark.parametrize("language", [*KNOWN, *UNKNOWN])
def test_the_share_tells_known_languages_from_others(minilm: Encoder, language: str) -> None:
    _, counts = minilm.encode_with_tokens([(KNOWN | UNKNOWN)[language]])
    assert (counts[0, 1] / counts[0, 0] >= MAX_UNCLEAR) == (language in UNKNOWN), counts


def test_tokenizers_of_letters_and_bytes_have_no_unclear_tokens() -> None:
    class Tokenizer:
        unk_token_id = 3

        def __init__(self, *pieces: str) -> None:
            self.pieces = pieces

        def get_vocab(self) -> dict[str, int]:
            return {piece: number for number, piece in enumerate(self.pieces)}

    assert unclear(Tokenizer("a", "b", "c", "<unk>")) == frozenset()
    words = (
        "the",
        "##a",
        "\u2581b",
        "<unk>",
        "<0xE4>",
        "\u0120x",
        "7",
        "!",
        "\u4ea7",
        "cat",
        "dog",
        "##ing",
        "z</w>",
        "sun",
    )
    assert unclear(Tokenizer(*words)) == {1, 2, 3, 4, 5, 12}


def test_characters_as_tokens_are_no_letters_of_words() -> None:
    from transformers import ByT5Tokenizer, CanineTokenizer

    assert unclear(CanineTokenizer()) == unclear(ByT5Tokenizer()) == frozenset()
