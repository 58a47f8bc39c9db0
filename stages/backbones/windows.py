"""Cut the tokens of a text that are too many for a model, or divide them into overlapping windows."""

from dataclasses import dataclass
from typing import Any

from stages.backbones import text_traits
from stages.backbones.recipe import Recipe
from stages.common.errors import HeadstartError, one_line

Tokens = dict[str, list[int]]  # of a text: (tokens,) ids, attention mask and what else a tokenizer returns

OVERLAP = 8  # a window shares 1/8 of its tokens with the one before


@dataclass(frozen=True)
class Frame:
    """The tokens around every text, which every window has.

    Attributes:
        head: number of special tokens and tokens of the prompt before the text.
        tail: number of special tokens after it.
        max_length: tokens of a window.
        keeps_end: whether texts are cut at their beginning.
    """

    head: int
    tail: int
    max_length: int
    keeps_end: bool = False

    def cut(self, tokens: Tokens) -> Tokens:
        """Leave out the tokens that are too many."""
        length = len(tokens["input_ids"])
        if length <= self.max_length:
            return tokens
        if self.keeps_end:
            return self._window(tokens, length - self.tail - max(self.max_length - self.head - self.tail, 0))
        return {
            name: values[: self.max_length - self.tail] + values[length - self.tail :]
            for name, values in tokens.items()
        }

    def windows(self, tokens: Tokens) -> list[Tokens]:
        """Divide the tokens into windows, the last of which may be shorter; a short text is one window."""
        length = len(tokens["input_ids"])
        if length <= self.max_length:
            return [tokens]
        room = self.max_length - self.head - self.tail
        step = room - room // OVERLAP
        last = length - self.tail - room  # start of a window that ends with the text
        return [self._window(tokens, start) for start in range(self.head, last + step, step)]

    def _window(self, tokens: Tokens, start: int) -> Tokens:
        """Return head, tail and the tokens of the text from `start` on, as many as there is room for."""
        length = len(tokens["input_ids"])
        end = min(start + self.max_length - self.head - self.tail, length - self.tail)
        return {
            name: values[: self.head] + values[start:end] + values[length - self.tail :]
            for name, values in tokens.items()
        }


@dataclass(frozen=True)
class PairFrame:
    """The tokens around the two texts of every pair.

    Attributes:
        head: number of special tokens before the first text, which begins with the prompt.
        prompt: number of tokens of the prompt.
        middle: number of special tokens between the texts.
        tail: number of special tokens after the second text.
        max_length: tokens of a pair.
        keeps_end: whether texts are cut at their beginning.
    """

    head: int
    prompt: int
    middle: int
    tail: int
    max_length: int
    keeps_end: bool = False

    @property
    def room(self) -> int:
        """Number of tokens of both texts that are read."""
        return self.max_length - self.head - self.prompt - self.middle - self.tail

    def cut(self, tokens: Tokens, first: int) -> Tokens:
        """Leave out the tokens that are too many, of the longer text first, as tokenizers do.

        Args:
            first: number of tokens of the first text, with the prompt.
        """
        end_of_prompt, end_of_first = self.head + self.prompt, self.head + first
        start, end = end_of_first + self.middle, len(tokens["input_ids"]) - self.tail
        kept_first, kept_second = _longest_first(first - self.prompt, end - start, self.room)
        one, other = (
            slice(stop - kept, stop) if self.keeps_end else slice(begin, begin + kept)
            for begin, stop, kept in ((end_of_prompt, end_of_first, kept_first), (start, end, kept_second))
        )
        return {
            name: [*values[:end_of_prompt], *values[one], *values[end_of_first:start], *values[other], *values[end:]]
            for name, values in tokens.items()
        }


def _longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Return how many tokens of two texts are kept: the shorter one whole, if it takes no more than half of the room.

    Where both take more, the second text gets the odd token if it is at least as long, as in the tokenizers library.
    """
    half = room // 2
    if min(first, second) <= half:
        return (first, room - first) if first <= second else (room - second, second)
    return (half, room - half) if first <= second else (room - half, half)


def frame(tokenizer: Any, recipe: Recipe) -> Frame:
    """Count the tokens that `tokenizer` adds to every text, with those of the prompt.

    Raises:
        HeadstartError: they leave no room for the text.
    """
    max_length = recipe.max_length or 0
    whole, plain = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (True, False))
    starts = range(len(whole) - len(plain) + 1)
    head = next((start for start in starts if whole[start : start + len(plain)] == plain), 0)
    tail = len(whole) - len(plain) - head
    if recipe.prompt:
        head = len(tokenizer(recipe.prompt)["input_ids"]) - tail
    if head + tail >= max_length and (recipe.prompt or recipe.long == "chunks"):
        raise HeadstartError(
            f"extract.max_length is {max_length}, but extract.prompt and special tokens take {head + tail}; raise"
            " max_length, or use a shorter prompt"
        )
    return Frame(head, tail, max_length, keeps_end=getattr(tokenizer, "truncation_side", "right") == "left")


def pair_frame(tokenizer: Any, recipe: Recipe, name: str) -> PairFrame:
    """Count the tokens that `tokenizer` adds to every pair of texts, and those of the prompt.

    Raises:
        HeadstartError: the tokenizer takes no pairs, or they leave no room for two texts.
    """
    text = "The 1st text."
    try:
        whole, plain = tokenizer(text, text)["input_ids"], tokenizer(text, add_special_tokens=False)["input_ids"]
    except Exception as error:  # tokenizers raise errors of many types
        raise text_traits.reads_no_pairs(name, one_line(error)) from None
    starts = [start for start in range(len(whole)) if plain and whole[start : start + len(plain)] == plain]
    if len(starts) < 2:
        raise text_traits.reads_no_pairs(name, "its tokenizer does not put one behind the other")
    prompt = len(tokenizer(recipe.prompt, add_special_tokens=False)["input_ids"]) if recipe.prompt else 0
    pair = PairFrame(
        head=starts[0],
        prompt=prompt,
        middle=starts[-1] - starts[0] - len(plain),
        tail=len(whole) - starts[-1] - len(plain),
        max_length=recipe.max_length or 0,
        keeps_end=getattr(tokenizer, "truncation_side", "right") == "left",
    )
    if pair.room < 2:
        raise HeadstartError(
            f"extract.max_length is {pair.max_length}, but extract.prompt and the special tokens of a pair take"
            f" {pair.max_length - pair.room}; raise max_length, or use a shorter prompt"
        )
    return pair
