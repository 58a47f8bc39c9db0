"""What a text model takes and gives, measured on a few tokens rather than listed by architecture."""

import inspect
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stages.common.errors import HeadstartError, one_line

MANY = 100  # tokens of a row in which random numbers would show: Reformer hashes rows longer than a chunk at random
SHORT, LONG = 7, 10  # tokens of two rows; odd, so that models that join neighbouring tokens show it
TOLERANCE = 1e-3  # of the largest value; round-off is far below, and a token too many far above
ROUND_OFF = 1e-6  # of the largest value
SHORTEST = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)  # numbers of tokens to try
POSITION_TABLES = (
    *("position_embeddings", "position_embedding", "positions_embed", "embed_positions", "wpe"),
    "char_position_embeddings",
)


@dataclass(frozen=True)
class TextTraits:
    """How to call a text model.

    Attributes:
        inputs: names of the tokenizer's tensors that it takes.
        options: further arguments of every call.
        dim: values per token in the last layer.
        can_pad: whether padding leaves the vectors of the other tokens as they are. It does not where tokens are mixed
            without a mask (FNet) or joined with their neighbours (CANINE).
        min_tokens: the shortest row that it takes, with padding.
    """

    inputs: tuple[str, ...]
    options: dict[str, Any]
    dim: int = 0
    can_pad: bool = True
    min_tokens: int = 1

    def run(self, body: Any, batch: dict[str, Tensor]) -> Tensor:
        """Return the token vectors of the last layer: (rows, length, dim)."""
        tensors = {name: batch[name] for name in self.inputs if name in batch}
        hidden: Tensor = body(**tensors, **self.options).last_hidden_state
        return hidden


def takes(body: Any, argument: str) -> bool:
    """Tell whether the network `body` declares an argument of this name."""
    return argument in inspect.signature(body.forward).parameters


def measure(body: Any, tokenizer: Any, *, max_length: int, name: str) -> TextTraits:
    """Run a text model on the CPU on a few tokens.

    Args:
        body: in evaluation mode.
        max_length: `extract.max_length`.

    Raises:
        HeadstartError: it gives no vector per token, or vectors that depend on more than the row's own tokens.
    """
    names = dict.fromkeys([*tokenizer.model_input_names, "attention_mask"])
    traits = TextTraits(
        inputs=tuple(key for key in names if takes(body, key)),
        options={"use_cache": False} if takes(body, "use_cache") else {},
    )
    ids = _plain_tokens(tokenizer, vocabulary(body))

    def run(*lengths: int) -> Tensor:
        """Return the token vectors of rows of these lengths, with padding."""
        hidden = _hidden(body, tokenizer, traits, [_cut(ids, row, length) for row, length in enumerate(lengths)])
        if hidden.ndim != 3 or tuple(hidden.shape[:2]) != (len(lengths), max(lengths)):
            raise ValueError(f"it gives {tuple(hidden.shape)} values for {len(lengths)} x {max(lengths)} tokens")
        return hidden

    min_tokens = _min_tokens(run, max_length, name)
    long = min(max(LONG, min_tokens), max_length)
    short = min(max(SHORT, min_tokens), long)
    try:
        is_repeatable = _is_repeatable(lambda: run(max(min(MANY, max_length), min_tokens)))
        alone = run(short)
        can_pad = short == long or _equal(alone, run(short, long)[:1, :short])
        is_independent = can_pad or _equal(alone, run(short, short)[:1])
    except Exception as error:
        raise _unusable(name, one_line(error)) from None
    if not is_repeatable:
        raise _unusable(name, "it draws random numbers, so a text has another vector every time")
    if not is_independent:
        raise _unusable(name, "the vector of a text depends on the other texts of its batch")
    return TextTraits(traits.inputs, traits.options, alone.shape[2], can_pad, min_tokens)


def check_first_token(body: Any, tokenizer: Any, traits: TextTraits, *, max_length: int, name: str) -> None:
    """Check that the first token of a text, which `extract.pooling: cls` takes, knows of the others.

    Raises:
        HeadstartError: it does not, as in models that read from left to right.
    """
    ids = _plain_tokens(tokenizer, vocabulary(body))
    length = min(max(SHORT, traits.min_tokens), max_length)
    vectors = [_hidden(body, tokenizer, traits, [[ids[0], *[other] * (length - 1)]])[0, 0] for other in ids[1:3]]
    if len(vectors) == 2 and (vectors[0] - vectors[1]).abs().max() <= ROUND_OFF * vectors[0].abs().max():
        raise HeadstartError(
            f"pooling cls takes the first token of a text, but {name} reads from left to right, so this token knows"
            " none of the others; set extract.pooling to mean or max"
        )


def _hidden(body: Any, tokenizer: Any, traits: TextTraits, rows: Sequence[list[int]]) -> Tensor:
    """Return the token vectors of rows of tokens, padded to the longest: (rows, length, dim)."""
    batch: dict[str, list[list[int]]] = {"input_ids": [*rows]}
    if "token_type_ids" in traits.inputs:
        batch["token_type_ids"] = [[0] * len(row) for row in rows]
    with torch.no_grad():
        return traits.run(
            body, tokenizer.pad(batch, padding="longest", return_attention_mask=True, return_tensors="pt")
        )


def check_pairs(body: Any, tokenizer: Any, traits: TextTraits, *, between: int, name: str) -> None:
    """Check that a model reads pairs of texts, and sees where the second one begins.

    Args:
        between: number of special tokens between the two.

    Raises:
        HeadstartError: it does not.
    """
    tokens = tokenizer("a", "a", return_attention_mask=True)
    types = set(tokens.get("token_type_ids", ())) if "token_type_ids" in traits.inputs else set()
    if not between and len(types) < 2:
        raise reads_no_pairs(name, "its tokenizer puts nothing between the two")
    length = max(len(tokens["input_ids"]), traits.min_tokens)
    batch = {key: [values] for key, values in tokens.items()}
    try:
        with torch.no_grad():
            traits.run(body, tokenizer.pad(batch, padding="max_length", max_length=length, return_tensors="pt"))
    except Exception as error:  # such as a table of token types with one row
        raise reads_no_pairs(name, one_line(error)) from None


def reads_no_pairs(name: str, reason: str) -> HeadstartError:
    """Return the error for a model that cannot be used with `extract.combine: pair`."""
    return HeadstartError(
        f"extract.combine is pair, but {name} reads no pairs of texts ({reason}); set combine to join, or"
        " backbone.name to a model that was trained on pairs, such as BERT"
    )


def token_limit(body: Any, tokenizer: Any) -> int:
    """Return the most tokens that model and tokenizer take; an unset limit is absurdly large."""
    declared = getattr(body.config, "max_position_embeddings", None)
    limits = [tokenizer.model_max_length]
    if isinstance(declared, int) and declared > 0:  # T5 has none, XLNet -1: any distance between tokens
        limits.append(declared)
    for path, module in body.named_modules():
        table = getattr(module, "weight", None)  # I-BERT's is no nn.Embedding
        if table is not None and path.rpartition(".")[2] in POSITION_TABLES:
            # RoBERTa counts positions from the padding index on, so its first rows are no positions.
            padding = getattr(module, "padding_idx", None)
            limits.append(len(table) - (0 if padding is None else padding + 1))
    return int(min(limits))


def vocabulary(body: Any) -> int | None:
    """Return the number of tokens in the embedding table; None if there is no such table."""
    try:
        table = body.get_input_embeddings()
    except Exception:  # CANINE hashes characters
        return None
    return table.num_embeddings if isinstance(table, nn.Embedding) else None


def unclear(tokenizer: Any) -> frozenset[int]:
    """Return the tokens that tell a model next to nothing: the unknown one, single letters, and bytes of a letter.

    A text of a language that the vocabulary does not know is made of them; about 7 % of an English one is. An ideograph
    is a word. A tokenizer that has no others, which reads letters or bytes, has none.
    """
    unknown = getattr(tokenizer, "unk_token_id", None)
    try:
        vocabulary = {str(piece): token for piece, token in tokenizer.get_vocab().items()}
    except (AttributeError, NotImplementedError):  # of a tokenizer without a list of pieces
        return frozenset()
    letters = {token for piece, token in vocabulary.items() if _is_letter(piece)}
    words = sum(sum(map(str.isalpha, piece)) > 1 and piece[0] not in "<[" for piece in vocabulary if len(piece) > 1)
    if words < len(letters):
        return frozenset()
    return frozenset(letters | ({unknown} if unknown is not None else set()))


def _is_letter(piece: str) -> bool:
    """Tell whether a piece of a vocabulary, without the mark of its position in the word, is one letter or byte."""
    text = piece.removeprefix("##").lstrip("\u0120\u2581").removesuffix("</w>")
    if len(text) == 1:
        return text.isalpha() and not unicodedata.name(text, "").startswith("CJK")
    return len(text) == 6 and re.fullmatch("<0x[0-9A-F]{2}>", text) is not None


def known_token(tokenizer: Any, size: int | None, *kinds: str) -> int:
    """Return the first special token of these `kinds` (`unk`, `eos`, …) in an embedding table of `size`; else 0."""
    tokens = (getattr(tokenizer, f"{kind}_token_id", None) for kind in kinds)
    return next((token for token in tokens if token is not None and (size is None or token < size)), 0)


def fit_tokenizer(tokenizer: Any, body: Any, name: str) -> None:
    """Set the side and the token of padding, and check that the tokenizer belongs to the model.

    Raises:
        HeadstartError: the embedding table of `body` lacks tokens of the vocabulary, or those around every text.
            Other tokens beyond it are taken for unknown ones, should they occur in a text.
    """
    size, around = vocabulary(body), tokenizer("")["input_ids"]  # such as [CLS] and [SEP]
    if tokenizer("The 1st text.")["input_ids"] == around:
        raise HeadstartError(f"the tokenizer of {name} finds no tokens in texts; use the one that belongs to the model")
    if size is not None:
        needed = max([getattr(tokenizer, "vocab_size", 0), *(token + 1 for token in around)])
        if needed > size:
            raise HeadstartError(
                f"{name} has embeddings of {size:,} tokens, but its tokenizer has {needed:,}; use the tokenizer that"
                " belongs to the model"
            )
    tokenizer.padding_side = "right"  # the first token is the first column, as cls pooling expects
    # The mask hides padding, so any token that the model knows will do.
    pad = known_token(tokenizer, size, "pad", "eos", "unk")
    if tokenizer.pad_token_id != pad:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(pad)


def _min_tokens(run: Callable[[int], Tensor], max_length: int, name: str) -> int:
    """Return the shortest row of `SHORTEST` that a model takes."""
    reason = ""
    for tokens in SHORTEST:
        if tokens > max_length:
            break
        try:
            run(tokens)
            return tokens
        except Exception as error:  # architectures raise errors of many types
            reason = one_line(error)
    raise _unusable(name, reason)


def _is_repeatable(run: Callable[[], Tensor]) -> bool:
    """Tell whether `run` gives the same again, if it draws random numbers at all."""
    with torch.random.fork_rng(devices=[]):
        state = torch.get_rng_state()
        first = run()
        return torch.equal(state, torch.get_rng_state()) or _equal(first, run())


def _plain_tokens(tokenizer: Any, size: int | None) -> list[int]:
    """Return a few tokens that are not special."""
    special = set(tokenizer.all_special_ids)
    stop = min(size or tokenizer.vocab_size, tokenizer.vocab_size, 10**3)
    return [token for token in range(stop) if token not in special] or [0]


def _cut(ids: Sequence[int], row: int, length: int) -> list[int]:
    return [ids[(row + position) % len(ids)] for position in range(length)]


def _equal(one: Tensor, other: Tensor) -> bool:
    """Tell whether vectors differ by round-off at most. Values that are not finite are somebody else's concern."""
    if not (one.isfinite().all() and other.isfinite().all()):
        return True
    return bool((one - other).abs().max() <= TOLERANCE * one.abs().max())


def _unusable(name: str, reason: str) -> HeadstartError:
    return HeadstartError(
        f"{name} cannot be used as a text encoder ({reason}); set backbone.name to a model with a vector per token"
    )
