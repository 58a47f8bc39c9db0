"""Text encoders: tokenizer, transformer and pooling.

The vector of a text is pooled from the token vectors of the last layer (for mean pooling: Reimers and Gurevych 2019,
Sentence-BERT).
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stages.backbones import blocks, text_traits
from stages.backbones.architectures import Part
from stages.backbones.encoder import Encoder, affordable
from stages.backbones.text_traits import TextTraits
from stages.common.params import ExtractParams, FinetuneParams

# Tokens with padding: few enough for a CPU's caches, enough to keep the cores of an accelerator busy.
TOKENS_PER_BATCH_CPU = 1_024
TRAINING_TOKENS_CPU = 8_192
TOKENS_PER_BATCH_ACCELERATOR = 65_536
BYTES_PER_VALUE = 64  # of memory per token and dimension: inside a block, vectors are four times as wide

Batch = dict[str, Tensor]


class TextEncoder(Encoder):
    """Turns texts into vectors."""

    # Cores that share a batch wait for each other between many small steps, 10 to 20 % of the time.
    batch_per_core = True

    def __init__(
        self,
        body: Any,
        tokenizer: Any,
        settings: ExtractParams,
        *,
        part: Part,
        traits: TextTraits,
        fingerprint: str = "",
        name: str = "",
    ) -> None:
        super().__init__(settings, fingerprint=fingerprint, name=name)
        self.body = body
        self.tokenizer = tokenizer
        self._part, self._traits = part, traits
        self._vocabulary = text_traits.vocabulary(body)
        self._unknown = text_traits.known_token(tokenizer, self._vocabulary, "unk", "eos", "bos", "cls", "pad")
        self._token_dropout = 0.0
        self.dim = traits.dim

    def training_rows(self, inputs: Sequence[str]) -> list[dict[str, list[int]]]:
        """Tokenize texts, cut at `extract.max_length` and not padded."""
        tokens = self.tokenizer(
            list(inputs), truncation=True, max_length=self.settings.max_length, return_attention_mask=True
        )
        rows = ({name: values[row] for name, values in tokens.items()} for row in range(len(inputs)))
        return [self._known(row) for row in rows]

    def length(self, row: dict[str, list[int]]) -> int:
        """Return the number of tokens."""
        return len(row["input_ids"])

    def rows_per_pass(self, longest: int) -> int:
        """Return how many texts fit into memory, where every block stores values for its gradient."""
        tokens = TRAINING_TOKENS_CPU
        if self.device.type != "cpu":
            bytes_per_token = 2 * BYTES_PER_VALUE * self.dim * len(blocks.names(self.body))
            tokens = affordable(self.device, bytes_per_item=bytes_per_token, limit=TOKENS_PER_BATCH_ACCELERATOR)
        return max(tokens // longest, 1)

    def prepare_training(self, settings: FinetuneParams, *, from_random: bool) -> None:
        """Set up token dropout."""
        self._token_dropout = settings.token_dropout

    def training_batch(self, rows: Sequence[dict[str, list[int]]]) -> Batch:
        """Drop tokens, and pad to the longest row: tensors of (rows, length).

        Random numbers come from torch's global generator.
        """
        return self._pad([self._drop_tokens(row) for row in rows] if self._token_dropout else rows, None)

    def vectors(self, body: Any, batch: Batch) -> Tensor:
        """Compute the vectors of a padded batch: (rows, dim)."""
        if self._traits.can_pad:
            return self._pooled(body, batch)
        lengths = batch["attention_mask"].sum(dim=1).clamp(min=self._traits.min_tokens)
        rows_by_length = [
            (length, (lengths == length).nonzero().squeeze(1)) for length in sorted(set(lengths.tolist()))
        ]
        vectors = [
            self._pooled(body, {name: tensor[rows, :length] for name, tensor in batch.items()})
            for length, rows in rows_by_length
        ]
        return torch.cat(vectors)[torch.cat([rows for _, rows in rows_by_length]).argsort()]

    def _pooled(self, body: Any, batch: Batch) -> Tensor:
        hidden = self._traits.run(body, batch)  # (rows, length, dim)
        mask = batch["attention_mask"].unsqueeze(-1).bool()  # (rows, length, 1)
        if self.settings.pooling == "cls":
            vectors = hidden[:, 0]
        elif self.settings.pooling == "max":
            vectors = hidden.masked_fill(~mask, -torch.inf).amax(dim=1)
        else:
            vectors = hidden.masked_fill(~mask, 0).sum(dim=1) / mask.sum(dim=1)
        return self._scaled(vectors)

    def batches(self, inputs: Sequence[str]) -> Iterator[tuple[list[int], Batch]]:
        """Divide texts into batches of equal padded length.

        A vector depends on the padded length (float32 round-off), but not on the other rows. Therefore the padded
        length is a function of the row's own tokens: a row gets the same vector in every table.
        """
        rows = self.training_rows(inputs)
        lengths = [self._padded_length(len(row["input_ids"])) for row in rows]
        tokens = self._tokens_per_batch()
        order = sorted(range(len(rows)), key=lengths.__getitem__)
        start = 0
        while start < len(order):
            length = lengths[order[start]]
            end = start
            while end < len(order) and lengths[order[end]] == length and end - start < max(tokens // length, 1):
                end += 1
            yield order[start:end], self._pad([rows[row] for row in order[start:end]], length)
            start = end

    def _tokens_per_batch(self) -> int:
        if self.device.type == "cpu":
            return TOKENS_PER_BATCH_CPU
        bytes_per_token = BYTES_PER_VALUE * self.dim
        return affordable(self.device, bytes_per_item=bytes_per_token, limit=TOKENS_PER_BATCH_ACCELERATOR)

    def export(self, folder: Path) -> None:
        """Write weights, config and tokenizer; AutoModel can load the folder too."""
        try:
            self.tokenizer.save_pretrained(folder)
        except Exception as error:  # of the tokenizers library, which is in Rust: it has the system's error in its text
            number = re.search(r"\(os error (\d+)\)", str(error))
            raise OSError(int(number[1]), str(error), str(folder)) if number else error from None
        self._part.save(self.body, folder, self.name)

    def check_reload(self) -> None:
        """See the base."""
        self._part.check_reload(self.body, "text", self.name)

    def _padded_length(self, tokens: int) -> int:
        length = padded_length(tokens, self.settings.max_length) if self._traits.can_pad else tokens
        return max(length, self._traits.min_tokens)

    def _known(self, row: dict[str, list[int]]) -> dict[str, list[int]]:
        """Replace tokens that the embedding table lacks, and give a text without tokens one."""
        ids = row["input_ids"]
        if not ids:
            return {name: [1 if name == "attention_mask" else 0] for name in row} | {"input_ids": [self._unknown]}
        if self._vocabulary is not None and max(ids) >= self._vocabulary:
            ids = [token if token < self._vocabulary else self._unknown for token in ids]
        return row | {"input_ids": ids}

    def _drop_tokens(self, row: dict[str, list[int]]) -> dict[str, list[int]]:
        """Drop random tokens, but no special ones."""
        numbers = torch.rand(len(row["input_ids"])).tolist()
        special = self.tokenizer.all_special_ids
        keep = [
            number >= self._token_dropout or token in special
            for number, token in zip(numbers, row["input_ids"], strict=True)
        ]
        if not any(keep):  # GPT-2 has no special tokens
            return row
        return {name: [value for value, kept in zip(values, keep, strict=True) if kept] for name, values in row.items()}

    def _pad(self, rows: Sequence[dict[str, list[int]]], length: int | None) -> Batch:
        """Pad to `length`, or to the longest row."""
        length = length or max(self._traits.min_tokens, *(len(row["input_ids"]) for row in rows))
        padded = self.tokenizer.pad(
            {name: [row[name] for row in rows] for name in rows[0]},
            padding="max_length",
            max_length=length,
            return_attention_mask=True,
            return_tensors="pt",
        )
        pin = self.device.type == "cuda"  # a copy to a GPU runs in the background only from pinned memory
        return {
            name: (tensor.pin_memory() if pin else tensor).to(self.device, non_blocking=True)
            for name, tensor in padded.items()
        }


def padded_length(tokens: int, max_length: int) -> int:
    """Round a number of tokens up: not at all below 32, above by at most 1/16."""
    step = 1 << max(tokens.bit_length() - 5, 0)
    return min(-(-tokens // step) * step, max_length)
