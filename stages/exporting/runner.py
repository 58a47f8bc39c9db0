"""Classify: `python run.py INPUT ...`, or `Model(FOLDER).probabilities([INPUT, ...])`: (inputs, labels)."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from stages.exporting.read_tokens import Reader


class Model:
    def __init__(self, folder: str | Path = Path(__file__).parent, options: Any = None) -> None:
        self.card = json.loads(Path(folder, "model.json").read_text("utf-8"))
        self.labels, self.reader = self.card["labels"], Reader(Path(folder), self.card["reading"])
        self.session = onnxruntime.InferenceSession(str(Path(folder, "model.onnx")), options)

    def probabilities(self, inputs: list[Any], batch_rows: int = 16) -> np.ndarray:
        rows = self.reader.rows(inputs)
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))  # like lengths share a batch
        P = np.zeros((len(rows), len(self.labels)), np.float32)
        for part in (order[start : start + batch_rows] for start in range(0, len(rows), batch_rows)):
            P[part] = self.session.run(None, self.reader.batch([rows[row] for row in part]))[0]
        return P


if __name__ == "__main__":
    model = Model()
    for content, row in zip(sys.argv[1:], model.probabilities(sys.argv[1:]), strict=True):
        best = [(max(labels, key=row.__getitem__), limit) for labels, limit in model.card["decisions"]]
        print(content, *(f"{model.labels[k]}\t{row[k]:.3f}" for k, limit in best if row[k] >= limit), sep="\t")
