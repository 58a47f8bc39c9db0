"""Text encoders: tokenizer, transformer and pooling.

The vector of a text is pooled from the token vectors of the last layer (for mean pooling: Reimers and Gurevych 2019,
Sentence-BERT).
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from stages.backbones import blocks, pooling, text_traits, windows
from stages.backbones import recipe as recipes
from stages.backbones.encoder import Batch, Encoder, affordable
from stages.backbones.recipe import Recipe
from stages.backbones.text_traits import TextTraits
from stages.backbones.windows import Tokens
from stages.common.params import ExtractParams, FinetuneParams
from stages.tables.prepared import Pair

if TYPE_CHECKING:
    from stages.backbones.architectures import Part

# Tokens with padding: few enough for a CPU's caches, enough to keep the cores of an accelerator busy.
TOKENS_PER_BATCH_CPU = 1_024
TRAINING_TOKENS_CPU = 8_192
TOKENS_PER_BATCH_ACCELERATOR = 65_536
BYTES_PER_VALUE = 64  # of memory per token and dimension: inside a block, vectors are four times as wide

Tensors = dict[str, Tensor]
OWNER = "owner"  # key of the row that each window belongs to, where texts are read in windows


class TextEncoder(Encoder):
    """Turns texts into vectors, or pairs of texts with `extract.combine: pair`."""

    # Cores that share a batch wait for each other between many small steps, 10 to 20 % of the time.
    batch_per_core = True

    def __init__(
        self,
        body: Any,
        tokenizer: Any,
        settings: ExtractParams,
        *,
        part: "Part | None",
        traits: TextTraits,
        recipe: Recipe,
        steps: pooling.Steps,
        fingerprint: str = "",
        name: str = "",
    ) -> None:
        """Wrap a transformer; `recipe` is resolved, `steps` are its steps; without `part` it cannot be exported."""
        super().__init__(recipe.settings(settings), fingerprint=fingerprint, name=name)
        self.body = body
        self.steps = steps
        self.tokenizer = tokenizer
        self.recipe = recipe
        self.recipe_sentence = recipe.sentence()
        self.max_length: int = recipe.max_length or 0
        self.dim = recipe.dim(traits.dim)
        self._part, self.traits = part, traits
        self.frame = windows.frame(tokenizer, recipe)
        self._pair_frame = None
        if recipe.combine == "pair":
            self._pair_frame = windows.pair_frame(tokenizer, recipe, name)
            text_traits.check_pairs(body, tokenizer, traits, between=self._pair_frame.middle, name=name)
        self.vocabulary = text_traits.vocabulary(body)
        self.unknown = text_traits.known_token(tokenizer, self.vocabulary, "unk", "eos", "bos", "cls", "pad")
        self._unclear = text_traits.unclear(tokenizer)
        self._token_dropout = 0.0

    def training_rows(self, inputs: Sequence[str | Pair]) -> list[Tokens]:
        """Tokenize texts, not padded; with `extract.long: cut` cut at the maximum length."""
        rows = self._tokenize(inputs)
        return rows if self.recipe.long == "chunks" else self._cut(inputs, rows)

    def length(self, row: Tokens) -> int:
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
        self._token_dropout = float(settings.token_dropout)  # a number: the loop replaces auto

    def training_batch(self, rows: Sequence[Tokens]) -> Tensors:
        """Drop tokens, and pad to the longest row: tensors of (rows or windows, length).

        Random numbers come from torch's global generator.
        """
        parts = [self.frame.windows(row) for row in rows]
        batch = [self._drop_tokens(part) if self._token_dropout else part for row in parts for part in row]
        padded = self._pad(batch, None)
        if len(batch) > len(rows):
            owner = [number for number, row in enumerate(parts) for _ in row]
            padded[OWNER] = torch.tensor(owner, device=self.device)
        return padded

    def vectors(self, body: Any, batch: Tensors) -> Tensor:
        """Compute the vectors of a padded batch: (rows, dim)."""
        pooled = self._pooled_windows(body, batch) if OWNER in batch else self._pooled(body, batch)
        vectors: Tensor = self.steps(pooled)
        return vectors

    def _pooled_windows(self, body: Any, batch: Tensors) -> Tensor:
        """Average the pooled vectors of every row's windows, weighted by their tokens: (rows, dim of the pooling)."""
        windows = {name: tensor for name, tensor in batch.items() if name != OWNER}
        count, length = windows["input_ids"].shape
        size = max(self._tokens_per_batch() // length, 1)
        slices = [slice(start, start + size) for start in range(0, count, size)]
        pooled = torch.cat([self._pooled(body, {name: windows[name][part] for name in windows}) for part in slices])
        weights = windows["attention_mask"].sum(dim=1, keepdim=True).to(pooled.dtype)
        owner = batch[OWNER]
        sums = pooled.new_zeros(int(owner[-1]) + 1, pooled.shape[1] + 1)
        sums = sums.index_add(0, owner, torch.cat([pooled * weights, weights], dim=1))
        return sums[:, :-1] / sums[:, -1:]

    def _pooled(self, body: Any, batch: Tensors) -> Tensor:
        """Pool the tokens of every row: (rows, dim of the pooling)."""
        if self.traits.can_pad:
            return self._pool(body, batch)
        lengths = batch["attention_mask"].sum(dim=1).clamp(min=self.traits.min_tokens)
        rows_by_length = [
            (length, (lengths == length).nonzero().squeeze(1)) for length in sorted(set(lengths.tolist()))
        ]
        vectors = [
            self._pool(body, {name: tensor[rows, :length] for name, tensor in batch.items()})
            for length, rows in rows_by_length
        ]
        return torch.cat(vectors)[torch.cat([rows for _, rows in rows_by_length]).argsort()]

    def _pool(self, body: Any, batch: Tensors) -> Tensor:
        hidden = self.traits.run(body, batch)  # (rows, length, dim)
        mask = batch["attention_mask"].bool()  # (rows, length)
        if self.recipe.prompt and not self.recipe.include_prompt:
            mask = mask.clone()
            mask[:, : self.frame.head] = False
        return pooling.pool(hidden, mask, self.recipe.pooling)

    def batches(self, inputs: Sequence[str | Pair]) -> Iterator[Batch]:
        """Divide texts into batches of equal padded length; a text in windows is a batch of its own.

        A vector depends on the padded length (float32 round-off), but not on the other rows. Therefore the padded
        length is a function of the row's own tokens: a row gets the same vector in every table.
        """
        rows = self._tokenize(inputs)
        tokens = [len(row["input_ids"]) for row in rows]
        unclear = [sum(token in self._unclear for token in row["input_ids"]) for row in rows]
        cut = self._cut(inputs, rows)
        lengths = [self._padded_length(len(row["input_ids"])) for row in cut]
        in_windows = [self.recipe.long == "chunks" and length > self.max_length for length in tokens]
        order = sorted((row for row in range(len(rows)) if not in_windows[row]), key=lengths.__getitem__)
        limit = self._tokens_per_batch()
        start = 0
        while start < len(order):
            length = lengths[order[start]]
            end = start
            while end < len(order) and lengths[order[end]] == length and end - start < max(limit // length, 1):
                end += 1
            chosen = order[start:end]
            padded = self._pad([cut[row] for row in chosen], length)
            yield Batch(chosen, padded, [tokens[row] for row in chosen], [unclear[row] for row in chosen])
            start = end
        for row in (row for row in range(len(rows)) if in_windows[row]):
            content = self._pad(self.frame.windows(rows[row]), None)
            content[OWNER] = torch.zeros(len(content["input_ids"]), dtype=torch.long, device=self.device)
            yield Batch([row], content, [tokens[row]], [unclear[row]])

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
        recipes.write(folder, self.recipe)
        assert self._part
        steps = {pooling.PREFIX + key: tensor for key, tensor in self.steps.state_dict().items()}
        self._part.save(self.body, folder, self.name, steps)

    def check_reload(self) -> None:
        """See the base."""
        assert self._part
        self._part.check_reload(self.body, "text", self.name)

    def _padded_length(self, tokens: int) -> int:
        length = padded_length(tokens, self.max_length) if self.traits.can_pad else tokens
        return max(length, self.traits.min_tokens)

    def _tokenize(self, inputs: Sequence[str | Pair]) -> list[Tokens]:
        """Tokenize whole texts with their prompt; of a pair, the first has it."""
        firsts = [self._spelled(f"{self.recipe.prompt}{_first(content)}") for content in inputs]
        seconds = [self._spelled(content[1]) for content in inputs] if self._pair_frame else None
        tokens = self.tokenizer(firsts, seconds, return_attention_mask=True)
        return [self._known({name: values[row] for name, values in tokens.items()}) for row in range(len(inputs))]

    def _spelled(self, text: str) -> str:
        return text.lower() if self.recipe.lowercase else text

    def _cut(self, inputs: Sequence[str | Pair], rows: Sequence[Tokens]) -> list[Tokens]:
        """Leave out the tokens of texts and pairs that are too many."""
        if self._pair_frame is None:
            return [self.frame.cut(row) for row in rows]
        return [
            row
            if len(row["input_ids"]) <= self.max_length
            else self._pair_frame.cut(row, self._tokens_of_first(content))
            for content, row in zip(inputs, rows, strict=True)
        ]

    def _tokens_of_first(self, content: str | Pair) -> int:
        """Count the tokens of the first text of a pair, with the prompt."""
        text = self._spelled(f"{self.recipe.prompt}{_first(content)}")
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _known(self, row: Tokens) -> Tokens:
        """Replace tokens that the embedding table lacks, and give a text without tokens one."""
        ids = row["input_ids"]
        if not ids:
            return {name: [1 if name == "attention_mask" else 0] for name in row} | {"input_ids": [self.unknown]}
        if self.vocabulary is not None and max(ids) >= self.vocabulary:
            ids = [token if token < self.vocabulary else self.unknown for token in ids]
        return row | {"input_ids": ids}

    def _drop_tokens(self, row: Tokens) -> Tokens:
        """Drop random tokens, but none of the prompt and no special ones."""
        numbers = torch.rand(len(row["input_ids"])).tolist()
        special = self.tokenizer.all_special_ids
        keep = [
            number >= self._token_dropout or token in special or position < self.frame.head
            for position, (number, token) in enumerate(zip(numbers, row["input_ids"], strict=True))
        ]
        if not any(keep):  # GPT-2 has no special tokens
            return row
        return {name: [value for value, kept in zip(values, keep, strict=True) if kept] for name, values in row.items()}

    def _pad(self, rows: Sequence[Tokens], length: int | None) -> Tensors:
        """Pad to `length`, or to the longest row."""
        length = length or max(self.traits.min_tokens, *(len(row["input_ids"]) for row in rows))
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


def _first(content: str | Pair) -> str:
    return content if isinstance(content, str) else content[0]


def padded_length(tokens: int, max_length: int) -> int:
    """Round a number of tokens up: not at all below 32, above by at most 1/16."""
    step = 1 << max(tokens.bit_length() - 5, 0)
    return min(-(-tokens // step) * step, max_length)
