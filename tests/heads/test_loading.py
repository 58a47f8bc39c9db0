"""Trained heads as functions from features to probabilities."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from stages.heads import linear_layer, loading
from stages.tasks.single import Single


def test_many_rows_are_scored_a_block_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    linear_layer.write(tmp_path, generator.normal(size=(3, 8)), generator.normal(size=3))
    card = SimpleNamespace(labels=("a", "b", "c"), as_task=lambda: Single(("a", "b", "c")))
    head = loading.load(tmp_path, cast(Any, card), 8)
    X, sizes = generator.normal(size=(10, 8)).astype(np.float32), []
    whole = head(X)
    monkeypatch.setattr(loading, "MAX_BLOCK_ROWS", 4)
    finite = loading.finite
    monkeypatch.setattr(loading, "finite", lambda scores, model: (sizes.append(len(scores)), finite(scores, model))[1])
    np.testing.assert_allclose(head(X), whole, rtol=1e-12)
    assert sizes == [4, 4, 2] and head(X[:0]).shape == (0, 3)
