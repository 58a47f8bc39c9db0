"""The part of run.py that counts words, or runs of letters within words, as scikit-learn does."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np


class Reader:
    def __init__(self, folder: Path, how: dict[str, Any]) -> None:
        self.terms = json.loads((folder / "vocabulary.json").read_text("utf-8"))
        self.column, self.how = {term: column for column, term in enumerate(self.terms)}, how

    def rows(self, inputs: list[str]) -> list[str]:
        return [text.lower() for text in inputs]

    def batch(self, rows: list[str]) -> dict[str, np.ndarray]:
        counts = np.zeros((len(rows), len(self.terms)), np.float32)
        for number, text in enumerate(rows):
            split = self.words if self.how["analyzer"] == "word" else self.letters
            np.add.at(counts[number], [self.column[term] for term in split(text) if term in self.column], 1)
        return {"counts": counts}

    def words(self, text: str) -> list[str]:
        return re.findall(r"\b\w\w+\b", text)

    def letters(self, text: str) -> list[str]:
        terms = []
        for word in (f" {word} " for word in text.split()):
            for size in range(2, 6):
                terms += [word[start : start + size] for start in range(max(len(word) - size, 0) + 1)]
                if size >= len(word):
                    break
        return terms
