import dataclasses
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from scipy import sparse

from stages.common import package
from stages.evaluation import cached_results, label_errors
from stages.evaluation.learning_curve import Curve, Point
from stages.tables.features import Features
from tests.evaluation.feature_tables import table


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Features:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    return table(np.eye(3), ["a", "b", "a"])


def test_a_result_is_computed_once_until_its_inputs_change(
    rows: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []

    def compute() -> cached_results.Arrays:
        computed.append(1)
        return {"x": np.arange(3) / 7}

    def ask(train: Features = rows, test: Features = rows, **settings: object) -> int:
        before = len(computed)
        np.testing.assert_array_equal(cached_results.result(train, test, settings, compute)["x"], np.arange(3) / 7)
        return len(computed) - before

    assert [ask(), ask(), ask()] == [1, 0, 0]
    assert ask(repeats=3) == 1
    other = dataclasses.replace(rows, labels=np.array(["a", "a", "b"], dtype=object))
    assert ask(other) == 1 and ask(test=other) == 1 and ask(other) == 0
    assert ask(dataclasses.replace(rows, X=2 * rows.X)) == 1
    assert ask(dataclasses.replace(rows, X=sparse.csr_matrix(rows.X))) == 1
    names = [np.array(list(text), dtype=object) for text in ("aab", "abb")]
    assert [ask(dataclasses.replace(rows, groups=groups)) for groups in (*names, *names)] == [1, 1, 0, 0]
    assert [ask(dataclasses.replace(rows, splits=splits)) for splits in names] == [1, 1], "they decide the folds"
    (folder,) = Path(os.environ["HEADSTART_CACHE"]).iterdir()
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:-30])
    assert [ask(), ask()] == [1, 0], "damaged"
    monkeypatch.setattr("stages.heads.model_card.versions", lambda *_: {"numpy": "another"})
    assert [ask(), ask()] == [1, 0]
    (tmp_path / "file").touch()
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "file"))
    assert [ask(), ask()] == [1, 1], "nowhere to keep it"


def test_curves_and_suspects_come_back_as_they_were() -> None:
    curve = Curve(
        (Point(2.0, (0.1, 0.2, 0.2)), Point(61.625, (0.7, 0.6)), Point(61.625, (0.8,))), 10.0, np.array([[0.25, 0.75]])
    )
    back = Curve.from_arrays("x", curve.to_arrays("x"))
    assert (back.points, back.C) == (curve.points, curve.C) and np.array_equal(back.P, curve.P)
    suspects = pd.DataFrame({"row": [3, 0], "suggested": [1, 2], "p_label": [0.1, 0.05], "p_suggested": [0.2, 0.9]})
    for part in (suspects, suspects[:0]):
        assert_frame_equal(label_errors.from_array(part.to_numpy()), part)


def test_the_code_is_part_of_the_key(rows: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    key = cached_results._key(rows, rows, {})
    assert cached_results._key(rows, rows, {}) == key
    monkeypatch.setattr(package, "digest", lambda: "other code")
    assert cached_results._key(rows, rows, {}) != key
