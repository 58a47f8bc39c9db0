"""--int8 is written only if it is as good on the test rows."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stages import tasks
from stages.common.errors import HeadstartError
from stages.common.gate_params import GateMetric, GateParams
from stages.exporting import checking
from stages.tables.prepared import Window

ROWS = 200
CARD: Any = SimpleNamespace(labels=("a", "b"), task="single", as_task=lambda: tasks.load("single", ("a", "b")))
TRUTH = [CARD.labels[row % 2] for row in range(ROWS)]


def model(wrong: range) -> Any:
    """A model that is sure, and wrong about these rows."""
    right = np.array([[0.9, 0.1] if label == "a" else [0.1, 0.9] for label in TRUTH])
    right[list(wrong)] = right[list(wrong), ::-1]
    return SimpleNamespace(probabilities=lambda inputs: right[inputs])


def judge(monkeypatch: pytest.MonkeyPatch, wrong: range, settings: GateParams | None = None, rows: int = ROWS) -> str:
    def windows(*_: object) -> Iterator[Window]:
        if rows:
            yield Window([str(row) for row in range(rows)], list(range(rows)), [*TRUTH], [None] * rows)

    monkeypatch.setattr(checking, "_judged", windows)
    return checking.judge(Path("data/prepared"), CARD, model(range(4)), model(wrong), settings or GateParams())


def test_as_good_or_better_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judge(monkeypatch, range(5)) == "of 200 test rows 0 won, 1 lost, p = 0.32"
    assert judge(monkeypatch, range(0)) == "of 200 test rows 4 won, 0 lost, p = 0.046"


def test_worse_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        HeadstartError, match=r"accuracy 0\.900 and not 0\.980; .*16 rows wrong that were right, 0 the other"
    ):
        judge(monkeypatch, range(20))


def test_mcnemar_refuses_what_a_tolerance_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = GateParams(metrics={"accuracy": GateMetric(tolerance=0.5)})
    with pytest.raises(HeadstartError, match=r"worse on 200 test rows \(16 rows wrong"):
        judge(monkeypatch, range(20), wide)


def test_a_floor_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HeadstartError, match=r"accuracy 0\.975"):
        judge(monkeypatch, range(5), GateParams(metrics={"accuracy": GateMetric(floor=0.99)}))


def test_without_test_rows_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HeadstartError, match=r"has no test rows; raise prepare\.test, or leave out --int8"):
        judge(monkeypatch, range(0), rows=0)


def test_several_labels_are_judged_by_rows_with_all_of_them_right(monkeypatch: pytest.MonkeyPatch) -> None:
    task = tasks.load("multilabel", ("a", "b"), thresholds=(0.3, 0.5))
    card: Any = SimpleNamespace(labels=task.labels, task="multilabel", as_task=lambda: task)
    P = np.tile([0.4, 0.6], (100, 1))

    def windows(*_: object) -> Iterator[Window]:
        yield Window([str(row) for row in range(100)], list(range(100)), ['["a", "b"]'] * 100, [None] * 100)

    def judged(lower: int) -> str:
        smaller = P.copy()
        smaller[:lower, 0] = 0.2  # below the threshold of the first label
        before, after = (SimpleNamespace(probabilities=lambda inputs, part=part: part[inputs]) for part in (P, smaller))
        return checking.judge(Path("data/prepared"), card, before, after, GateParams())

    monkeypatch.setattr(checking, "_judged", windows)
    assert judged(0) == "of 100 test rows 0 won, 0 lost, p = 1"
    with pytest.raises(HeadstartError, match=r"accuracy 0\.900 and not 1\.000; .*10 rows wrong that were right"):
        judged(10)
