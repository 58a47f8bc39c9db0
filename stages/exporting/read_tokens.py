"""The part of run.py that makes tokens of texts; a pair is a tuple, or a text with a tab between the two."""

from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer


class Reader:
    def __init__(self, folder: Path, how: dict[str, Any]) -> None:
        self.tokenizer, self.how = Tokenizer.from_file(str(folder / "tokenizer.json")), how

    def rows(self, inputs: list[Any]) -> list[Any]:
        texts = [text.split("\t", 1) if self.how["pairs"] and isinstance(text, str) else text for text in inputs]
        parts = [[self.how["prompt"] + text] if isinstance(text, str) else [*text] for text in texts]
        parts = [[part.lower() for part in row] if self.how["lowercase"] else row for row in parts]
        encoded = self.tokenizer.encode_batch([row[0] if len(row) == 1 else row for row in parts])
        return [self.cut(list(zip(row.ids, row.type_ids, strict=True))) for row in encoded]

    def cut(self, row: list[tuple[int, int]]) -> list[tuple[int, int]]:
        if len(row) > self.how["first"] + self.how["last"]:  # too long: the first tokens and the last ones are kept
            row = row[: self.how["first"]] + row[len(row) - self.how["last"] :]
        vocabulary, unknown = self.how["vocabulary"], self.how["unknown"]
        return [(token if token < vocabulary else unknown, kind) for token, kind in row] or [(unknown, 0)]

    def batch(self, rows: list[Any]) -> dict[str, np.ndarray]:
        shape = (len(rows), max(self.how["min_tokens"], *map(len, rows)))
        arrays = {name: np.full(shape, padding) for name, padding in self.how["inputs"].items()}
        for number, row in enumerate(rows):
            columns = np.array([(token, kind, 1) for token, kind in row]).T
            for name, values in zip(("input_ids", "token_type_ids", "attention_mask"), columns, strict=True):
                if name in arrays:
                    arrays[name][number, : len(row)] = values
        return arrays
