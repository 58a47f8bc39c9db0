"""Rows that a head learns quickly."""

from typing import Any

import numpy as np

from stages.common.params import TrainHeadParams


def data(classes: int, rows: int = 120) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    y = np.arange(rows) % classes
    X = generator.normal(size=(rows, 10)) + 1.5 * np.eye(10)[y]
    return X.astype(np.float32), np.array([f"class {k}" for k in y], dtype=object)


def settings(kind: str, **changes: Any) -> TrainHeadParams:
    return TrainHeadParams(**{"kind": kind, "C": (0.1, 1.0), "neighbors": (3, 200), "folds": 3, **changes})
