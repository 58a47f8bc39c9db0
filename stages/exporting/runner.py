"""Predict: `python run.py INPUT ...`, or `Model(FOLDER).probabilities([INPUT, ...])`: (inputs, labels), or numbers."""

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
        Y = np.zeros((len(rows), len(self.labels) or 1), np.float32 if self.labels else np.float64)
        for part in (order[start : start + batch_rows] for start in range(0, len(rows), batch_rows)):
            Y[part] = self.session.run(None, self.reader.batch([rows[row] for row in part]))[0]
        return Y


if __name__ == "__main__":
    for content, row in zip(sys.argv[1:], (model := Model()).probabilities(sys.argv[1:]), strict=True):
        sets = model.card["decisions"] or [([(row[::-1].cumsum()[:-1] > 0.5).sum()], 0)]  # of ordered labels the median
        best = [k for labels, limit in sets if row[k := max(labels, key=row.__getitem__)] >= limit]
        print(content, *(f"{model.labels[k]}\t{row[k]:.3f}" for k in best) if model.labels else row, sep="\t")
