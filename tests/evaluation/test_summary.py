from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from stages.evaluation import summary
from stages.evaluation.results import Results


def interval(low: float, high: float) -> dict[str, dict[str, float]]:
    return {"accuracy": {"low": low, "high": high}}


@pytest.fixture
def metrics() -> dict[str, Any]:
    return {
        "test_rows": 1168,
        "head": {"accuracy": 0.81, "macro_f1": 0.807},
        "head_ci95": interval(0.75, 0.863),
        "baseline": {"accuracy": 0.44, "macro_f1": 0.4401},
        "baseline_ci95": interval(0.363, 0.518),
        "head_minus_baseline": {"accuracy": 0.369, "p_value": 4.4e-13},
        "head_minus_baseline_ci95": interval(0.286, 0.458),
        "labels_saved": {"accuracy": 0.527, "backbone": 2, "baseline": "more than 62"},
        "near_duplicates": {"test_rows": 0},
        "label_errors": {"train": 37, "test": 15},
    }


def lines(metrics: dict[str, Any], truth: Sequence[int] = (0, 1, 2)) -> list[str]:
    models = {name: None for name in ("head", "finetuned", "baseline") if name in metrics}
    results = SimpleNamespace(
        metrics=metrics,
        scored=SimpleNamespace(probabilities=models, truth=np.array(truth), labels=("a", "b", "c")),
        cards={"head": SimpleNamespace(modality="text")},
    )
    return list(summary.lines(cast(Results, results), Path("data/evaluation/report.html")))


def test_the_lines_answer_how_good_how_sure_worth_it_and_what_next(metrics: dict[str, Any]) -> None:
    report = Path("data/evaluation/report.html")
    assert lines(metrics) == [
        "how good: head accuracy 0.810, macro F1 0.807; baseline (TF-IDF of words) accuracy 0.440, macro F1 0.440",
        "how sure: 1,168 test rows; 95 % intervals of accuracy: head 0.750 to 0.863, baseline 0.363 to 0.518",
        "worth it: head - baseline: accuracy +0.369 (95 % interval +0.286 to +0.458), p = 4.4e-13: better",
        "worth it: for accuracy 0.527 the backbone needs 2 labels per class, the baseline more than 62",
        f"next: check likely label errors (37 in train, 15 in test) in {report}",
    ]


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.2, "better"), (-0.2, -0.01, "worse"), (-0.1, 0.2, "no clear difference"), (0, 0, "no clear difference")],
)
def test_a_difference_is_clear_if_its_interval_excludes_zero(
    metrics: dict[str, Any], low: float, high: float, verdict: str
) -> None:
    metrics["head_minus_baseline_ci95"] = interval(low, high)
    assert lines(metrics)[2].endswith(f"p = 4.4e-13: {verdict}")


def test_without_resamples_there_are_no_intervals_and_no_verdict(metrics: dict[str, Any]) -> None:
    for name in ("head_ci95", "baseline_ci95", "head_minus_baseline_ci95"):
        del metrics[name]
    _, sure, worth, *_ = lines(metrics)
    assert sure == "how sure: 1,168 test rows; set evaluate.bootstrap above 0 for 95 % intervals"
    assert worth == "worth it: head - baseline: accuracy +0.369, p = 4.4e-13"


def test_without_a_baseline_nothing_is_claimed_about_transfer(metrics: dict[str, Any]) -> None:
    without = {name: value for name, value in metrics.items() if "baseline" not in name}
    without["labels_saved"] = {"accuracy": 0.527, "backbone": 2}
    assert not any(line.startswith("worth it") for line in lines(without))


def test_near_duplicates_are_worth_a_look(metrics: dict[str, Any]) -> None:
    metrics["near_duplicates"] = {"test_rows": 3}
    assert "(37 in train, 15 in test) and near-duplicates (3 in test) in " in lines(metrics)[-1]
    metrics |= {"near_duplicates": {"test_rows": 0}, "label_errors": {"train": 0, "test": 0}}
    assert lines(metrics)[-1].startswith("next: look at the mistakes in ")


def test_classes_without_test_rows_are_named(metrics: dict[str, Any]) -> None:
    assert lines(metrics, [0, 2])[2] == (
        "how sure: 1 of 3 classes has no test row, and none of these numbers is of it: b"
    )
    assert lines(metrics, [1])[2].endswith(
        "2 of 3 classes have no test row, and none of these numbers is of them: a, c"
    )
    assert not any("no test row" in line for line in lines(metrics))
