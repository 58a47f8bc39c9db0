"""A tokenizer of the tokenizers library by itself, called like one of transformers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from stages.backbones.light import Facts

FILE = "tokenizer.json"


class LightTokenizer:
    """Does what text encoders need of a tokenizer for inference; the attributes of `Facts` are its own, too."""

    def __init__(self, folder: Path, facts: Facts) -> None:
        self._backend, self._facts = read(folder), facts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._facts, name)

    def get_vocab(self) -> dict[str, int]:
        """Return the tokens and their ids, those that were added included."""
        vocabulary: dict[str, int] = self._backend.get_vocab(with_added_tokens=True)
        return vocabulary

    def __call__(
        self,
        texts: str | Sequence[str],
        seconds: str | Sequence[str] | None = None,
        *,
        add_special_tokens: bool = True,
        **_: Any,
    ) -> dict[str, Any]:
        """Tokenize a text, or several, with the second texts of pairs: lists by the name of the network's input.

        The attention mask is always one of them, as text encoders ask for it.
        """
        is_single = isinstance(texts, str)
        firsts = [texts] if is_single else texts
        others = [seconds] if isinstance(seconds, str) else seconds
        rows: Any = firsts if others is None else list(zip(firsts, others, strict=True))
        encodings = self._backend.encode_batch(rows, add_special_tokens=add_special_tokens)
        values = {
            "input_ids": [encoding.ids for encoding in encodings],
            "token_type_ids": [encoding.type_ids for encoding in encodings],
            "attention_mask": [encoding.attention_mask for encoding in encodings],
        }
        names = (name for name in values if name in self._facts.model_input_names or name == "attention_mask")
        return {name: values[name][0] if is_single else values[name] for name in names}

    def pad(self, tokens: dict[str, list[list[int]]], *, max_length: int, **_: Any) -> dict[str, Tensor]:
        """Pad rows on the right: tensors of (rows, max_length)."""
        fill = {"input_ids": self._facts.pad_token_id, "token_type_ids": self._facts.pad_token_type_id}
        return {
            name: torch.tensor([row + [fill.get(name, 0)] * (max_length - len(row)) for row in rows])
            for name, rows in tokens.items()
        }


def read(folder: Path) -> Tokenizer:
    """Read tokenizer.json of a model folder. Raises any type of error if it cannot be read."""
    backend = Tokenizer.from_file(str(folder / FILE))
    backend.no_truncation()
    backend.no_padding()
    return backend
