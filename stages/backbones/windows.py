"""Cut the tokens of a text that are too many for a model, or divide them into overlapping windows."""

from dataclasses import dataclass
from typing import Any

from stages.backbones.recipe import Recipe
from stages.common.errors import HeadstartError

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
