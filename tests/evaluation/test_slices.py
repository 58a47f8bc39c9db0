from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from stages.common.params import EvaluateParams
from stages.evaluation import slices
from stages.evaluation.results import ScoredRows
from stages.tables import prepared
from stages.tasks.single import Single
from tests.evaluation import feature_tables

SETTINGS = EvaluateParams(bootstrap=50)


def by_slice(
    names: "pd.Series[Any]", truth: np.ndarray, P: np.ndarray, settings: EvaluateParams = SETTINGS
) -> list[dict[str, Any]]:
    rows = feature_tables.table(np.zeros((len(truth), 1)), ["a"] * len(truth))
    return slices.metrics_by_slice(names, ScoredRows(rows, truth, Single(("a", "b")), {"head": P}), "head", settings)


@pytest.mark.parametrize("given", ["slice", "group"])
def test_slices_take_the_place_of_groups(tmp_path: Path, given: str) -> None:
    source = prepared.TableInfo(input="text", modality="text", max_side=None)
    with prepared.writer(tmp_path / "test", source) as writer:
        rows = [
            {"id": str(n), "text": "x", "label": "a", "source": "s", "group": f"g{n}", "slice": None} for n in range(3)
        ]
        if given == "slice":
            rows[0]["slice"] = "old"
        writer.write(pa.Table.from_pylist(rows, writer.schema))
    wanted = [None, "old"] if given == "slice" else ["g2", "g0"]
    names = slices.names(tmp_path, np.array(["2", "0"]))
    assert [None if pd.isna(name) else name for name in names] == wanted


def test_metrics_of_slices_are_those_of_their_rows() -> None:
    truth = np.array([0, 0, 1, 1, 0, 1])
    P = np.eye(2)[[0, 0, 1, 0, 1, 0]]
    names = pd.Series(["a", "a", "a", "b", "b", None])
    first, second = by_slice(names, truth, P)
    assert (first["slice"], first["rows"], first["accuracy"], first["macro_f1"]) == ("a", 3, 1, 1)
    assert (first["low"], first["high"]) == (pytest.approx(0.292, abs=1e-3), 1), "the exact interval of 3 of 3"
    assert (second["slice"], second["rows"], second["accuracy"]) == ("b", 2, 0)
    assert by_slice(pd.Series([None] * 6), truth, P) == []
    without = by_slice(names, truth, P, EvaluateParams(bootstrap=0))
    assert "low" not in without[0]


def test_only_the_largest_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "MAX_SLICES", 2)
    names, truth = pd.Series(list("abbccc")), np.zeros(6, dtype=int)
    assert [part["slice"] for part in by_slice(names, truth, np.eye(2)[truth])] == ["c", "b"]
