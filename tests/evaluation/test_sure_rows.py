"""Metrics of accepted rows and prediction sets."""

import numpy as np
import pytest

from stages.common.params import EvaluateParams
from stages.common.predict_params import PredictParams
from stages.evaluation import cross_validation, sure_rows
from stages.evaluation.results import ScoredRows
from stages.heads.certainty import Verdicts
from stages.tasks.single import Single
from tests.evaluation.feature_tables import table


def scored(verdicts: Verdicts) -> ScoredRows:
    """Ten rows of two labels, of which the two least confident are wrong."""
    P = np.column_stack([np.linspace(0.95, 0.5, 10), 1 - np.linspace(0.95, 0.5, 10)])
    rows = table(np.ones((10, 2)), ["a"] * 8 + ["b"] * 2)
    return ScoredRows(rows, np.array([0] * 8 + [1] * 2), Single(("a", "b")), {"head": P}, verdicts={"head": verdicts})


def test_shares_are_of_the_rows_that_they_name() -> None:
    accepted, sets = np.arange(10) < 5, np.zeros((10, 2), bool)
    sets[:7, 0], sets[6, 1], sets[8] = True, True, True  # rows 7 and 9 have empty sets
    out = sure_rows.details(scored(Verdicts(accepted, sets, np.linspace(0, 100, 10))), EvaluateParams())
    assert out["head_certainty"] == {
        "accuracy_coverage_area": pytest.approx((8 + 8 / 9 + 8 / 10) / 10),
        "set_size": 1.0,
        "accepted": 0.5,
        "accepted_accuracy": 1.0,
        "set_coverage": 0.8,
        "empty_sets": 0.2,
        "unfamiliar": 0.1,
    }
    ends = out["head_certainty_ci95"]
    assert ends["accepted_accuracy"]["low"] == pytest.approx(0.025 ** (1 / 5)), "of the five accepted rows"
    assert ends["set_size"]["low"] < 1 < ends["set_size"]["high"]


def test_without_accepted_rows_there_is_no_accuracy_of_them() -> None:
    verdicts = Verdicts(np.zeros(10, bool), np.ones((10, 2), bool))
    out = sure_rows.details(scored(verdicts), EvaluateParams(bootstrap=0))
    assert {*out} == {"head_certainty"}
    assert out["head_certainty"]["accepted"] == 0 and "accepted_accuracy" not in out["head_certainty"]
    assert "unfamiliar" not in out["head_certainty"]


def test_rows_of_a_fold_are_judged_by_limits_of_the_others() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 2, 400)
    labelled = table(generator.normal(size=(400, 4)) + truth[:, None], ["ab"[k] for k in truth])
    division = cross_validation.divide(labelled, EvaluateParams(), "all")
    right = generator.uniform(0.5, 1, 400)
    is_right = generator.uniform(size=400) < right
    P = np.where((truth == 1)[:, None] == is_right[:, None], [0.0, 1.0], [1.0, 0.0])
    P = np.abs(P - (1 - right)[:, None])
    judged = ScoredRows(labelled, truth, Single(("a", "b")), {"head": P}, division)
    verdicts = sure_rows.by_folds(labelled, division, judged, PredictParams(target_accuracy=0.8))
    assert verdicts.accepted is not None and verdicts.sets is not None and verdicts.unfamiliar is not None
    assert is_right[verdicts.accepted].mean() > 0.8 and 0.1 < verdicts.accepted.mean() < 0.9
    assert verdicts.sets[np.arange(400), truth].mean() == pytest.approx(0.9, abs=0.04)
    assert verdicts.unfamiliar.mean() == pytest.approx(50, abs=5)
