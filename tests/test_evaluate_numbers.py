"""Classes with an order, and numbers: how evaluate judges them, what the report shows, and what the gate compares."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Browser
from sklearn import metrics

from stages.scores import conformal_interval
from tests.browsers import browser  # noqa: F401, a fixture
from tests.conftest import Once
from tests.evaluation.report_pages import HOSTILE, Opened
from tests.projects import QUICK, make_project, run_stages, set_params, stage

ORDER = ("low", "middle", "high")  # not in the order of their names


def make_evaluated(folder: Path, task: str, **changes: object) -> Path:
    """Texts of ten words; the number is twenty times that of the good ones and noise, and the class is its range."""
    generator, rows = np.random.default_rng(0), 200
    good = generator.integers(0, 11, rows)
    texts = [
        " ".join(
            generator.permutation(["good"] * n + ["bad"] * (10 - n) + [f"w{k}" for k in generator.integers(99, size=4)])
        )
        for n in good
    ]
    texts[:3] = [f"{text} {HOSTILE}" for text in texts[:3]]
    table = pd.DataFrame({"text": texts, "number": 20.0 * good + generator.normal(0, 8, rows)})
    table["class"] = [ORDER[min(n // 4, 2)] for n in good]
    table["where"] = np.where(np.arange(rows) % 3, "inside", "outside")
    project = make_project(folder)
    table.to_csv(project / "data/rows.csv", index=False)
    label = (
        {"prepare__label": "number"}
        if task == "regression"
        else {"prepare__label": "class", "prepare__order": [*ORDER]}
    )
    settings = {**QUICK, **label, "prepare__task": task, "prepare__slice": "where", "evaluate__learning_curve": [5]}
    set_params(project, **settings | {"prepare__data": "data/rows.csv"} | changes)
    return run_stages(project)


@pytest.fixture(scope="module")
def numbers(once: Once) -> Path:
    return once("evaluated_numbers", lambda folder: make_evaluated(folder, "regression"))


@pytest.fixture(scope="module")
def ordered(once: Once) -> Path:
    return once("evaluated_order", lambda folder: make_evaluated(folder, "ordinal"))


def content(project: Path, name: str) -> Any:
    return json.loads((project / "data/evaluation" / name).read_text("utf-8"))


def predictions(project: Path, model: str = "head") -> pd.DataFrame:
    rows = pq.read_table(project / "data/evaluation/predictions.parquet").to_pandas()
    return rows[rows["model"] == model]


def test_metrics_of_numbers_are_those_of_the_predictions(numbers: Path) -> None:
    rows, values = predictions(numbers), content(numbers, "details.json")["head"]
    truth = rows["label"].astype(float)
    assert values["mean_absolute_error"] == pytest.approx(
        metrics.mean_absolute_error(truth, rows["predicted"]), abs=1e-4
    )
    assert values["r2"] == pytest.approx(metrics.r2_score(truth, rows["predicted"]), abs=1e-4) and values["r2"] > 0.8
    names = ["mean_absolute_error", "r2", "baseline", "test_rows"]
    assert [*content(numbers, "metrics.json")] == names and "p_value" not in content(numbers, "details.json")[
        "head_minus_baseline"
    ]


def test_the_coverage_of_intervals_is_measured(numbers: Path) -> None:
    rows, values = predictions(numbers), content(numbers, "details.json")
    truth = rows["label"].astype(float)
    share = ((rows["low"] <= truth) & (truth <= rows["high"])).mean()
    assert values["head_certainty"]["interval_coverage"] == pytest.approx(share, abs=1e-4) and 0.7 < share <= 1
    low, high = values["head_certainty_ci95"]["interval_coverage"].values()
    assert low < share < high
    assert values["head_certainty"]["interval_width"] == pytest.approx((rows["high"] - rows["low"]).mean(), abs=1e-3)


def test_conformal_intervals_of_new_rows_hold_as_many_as_asked() -> None:
    generator, shares = np.random.default_rng(0), []
    for _ in range(200):
        held_out, new = generator.standard_t(3, 100), generator.standard_t(3, 1000)
        width = conformal_interval.half_width(held_out, 0.9)
        shares.append(conformal_interval.measured(new, width)[0])
    assert 0.88 <= np.mean(shares) <= 0.92


def test_the_verdict_tells_the_error_and_no_weakest_class(numbers: Path) -> None:
    printed = stage(numbers, "evaluate").stdout
    assert "how good: head mean absolute error " in printed and ", R² 0." in printed
    assert "baseline (TF-IDF of words) " in printed and "accuracy" not in printed and "weakest class" not in printed


def test_slices_and_learning_curves_have_errors(numbers: Path, ordered: Path) -> None:
    for project in (numbers, ordered):
        slices = content(project, "plots/head/slices_errors.json")
        assert sum(part["rows"] for part in slices) == content(project, "metrics.json")["test_rows"]
        assert all(part["low"] <= part["mean_absolute_error"] <= part["high"] for part in slices)
        points = content(project, "plots/learning_curve/backbone_errors.json")
        assert [*points[0]] == ["labels_per_class", "mean_absolute_error", "lowest", "highest"]
        assert points[0]["mean_absolute_error"] > points[-1]["mean_absolute_error"]
        assert (
            content(project, "plots/head/slices.json") == content(project, "plots/learning_curve/backbone.json") == []
        )


def test_the_last_point_of_the_curve_is_the_baseline(numbers: Path) -> None:
    points = content(numbers, "plots/learning_curve/baseline_errors.json")
    assert points[-1]["mean_absolute_error"] == content(numbers, "details.json")["baseline"]["mean_absolute_error"]
    assert points[-1]["labels_per_class"] == len(pq.read_table(numbers / "data/prepared/train"))


def test_a_scatter_takes_the_place_of_the_confusion_matrix(numbers: Path, ordered: Path) -> None:
    points, rows = content(numbers, "plots/head/scatter.json"), predictions(numbers)
    assert [point["predicted"] for point in points] == rows["predicted"].tolist()
    assert [point["actual"] for point in points] == rows["label"].astype(float).tolist()
    assert content(numbers, "plots/head/confusion.json") == content(ordered, "plots/head/scatter.json") == []
    assert {point["actual"] for point in content(ordered, "plots/head/confusion.json")} == {*ORDER}


def test_numbers_have_no_likely_label_errors(numbers: Path) -> None:
    assert len(pq.read_table(numbers / "data/evaluation/label_errors.parquet")) == 0
    assert content(numbers, "details.json")["label_errors"] == {"train": 0, "test": 0}


def test_the_report_of_numbers_works(numbers: Path, browser: Browser) -> None:  # noqa: F811
    opened = Opened(browser, numbers / "data/evaluation/report.html")
    page, rows = opened.page, predictions(numbers)
    assert opened.count() == len(rows)
    error = (rows["predicted"] - rows["label"].astype(float)).abs()
    assert page.locator(".row .note >> nth=1").inner_text().split()[-3] == f"{error.max():.4g}", "the largest first"
    page.check("#row-mistakes")
    outside = page.locator("#row-count").inner_text().split()[0]
    held = content(numbers, "details.json")["head_certainty"]["interval_coverage"]
    assert int(outside) == round((1 - held) * len(rows))
    assert page.locator("#scatter-chart path.dots").count() == 2 and page.locator("#scatter-chart polygon").count() == 1
    dots = page.locator("#scatter-chart path.dots").evaluate_all(
        "paths => paths.map((p) => p.getAttribute('d').split('M').length - 1)"
    )
    assert dots == [len(rows) - int(outside), int(outside)]
    page.select_option("#scatter-model", "baseline")
    assert page.locator("#scatter-chart polygon").count() == 0, "nothing tells how sure the baseline is"
    page.hover("#map-canvas", position={"x": 300, "y": 200})
    assert page.locator("#confusion, #classes, #reliability").count() == 0
    assert page.evaluate("window.harmed") is None and opened.problems == []


def test_a_dot_of_the_scatter_tells_its_row(numbers: Path, browser: Browser) -> None:  # noqa: F811
    page = Opened(browser, numbers / "data/evaluation/report.html").page
    x, y, row = page.evaluate("marked[0]")
    box = page.locator("#scatter-chart svg").bounding_box()
    width = page.evaluate("document.querySelector('#scatter-chart svg').viewBox.baseVal.width")
    assert box is not None
    page.locator("#scatter-chart").scroll_into_view_if_needed()
    page.hover("#scatter-chart svg", position={"x": x * box["width"] / width, "y": y * box["width"] / width})
    assert page.locator("#scatter-tip").is_visible()
    assert page.evaluate("rows.source[marked[0][2]]") in page.locator("#scatter-tip").inner_text() and row == 0


def test_the_report_of_classes_with_an_order_keeps_it(ordered: Path, browser: Browser) -> None:  # noqa: F811
    opened = Opened(browser, ordered / "data/evaluation/report.html")
    assert opened.page.locator("#matrix tbody th").all_inner_texts() == [*ORDER]
    assert opened.page.locator("#map-legend button").all_inner_texts() == [*ORDER]
    assert opened.problems == []


@pytest.mark.parametrize(("task", "second"), [("regression", "r2"), ("ordinal", "quadratic_weighted_kappa")])
def test_the_gate_compares_errors_and_knows_that_less_is_better(
    task: str, second: str, numbers: Path, ordered: Path, tmp_path: Path
) -> None:
    good = numbers if task == "regression" else ordered
    worse = Path(shutil.copytree(good, tmp_path / "worse"))
    set_params(worse, budget__per_class=3)
    run_stages(worse, "train_head", "finetune", "evaluate")
    done = stage(worse, "gate", str(good / "data/evaluation"), "--markdown", "page.md", check=False)
    lines = [line.split() for line in done.stdout.splitlines()[1:3]]
    assert [line[0] for line in lines] == ["mean_absolute_error", second]
    assert done.returncode == 1 and lines[0][-1] == "worse"
    assert "| this change | mean absolute error | " in (worse / "page.md").read_text("utf-8")
    assert "better" in stage(good, "gate", str(worse / "data/evaluation")).stdout


def test_the_gate_does_not_compare_numbers_with_classes(numbers: Path, ordered: Path) -> None:
    done = stage(numbers, "gate", str(ordered / "data/evaluation"), check=False)
    assert done.returncode == 2 and "the tasks differ: ordinal before, regression now" in done.stdout


def test_folds_judge_numbers_where_none_are_tested(numbers: Path, tmp_path: Path) -> None:
    project = Path(shutil.copytree(numbers, tmp_path / "project"))
    set_params(project, prepare__test=0.0)
    printed = [stage(project, name).stdout for name in ("prepare", "extract", "train_head", "finetune", "evaluate")]
    assert "by 5-fold cross-validation, 5 times, on 200 labelled rows" in printed[-1]
    rows, values = predictions(project), content(project, "details.json")
    assert len(rows) == values["cross_validated_rows"] == 200 and set(rows["fold"]) == {1, 2, 3, 4, 5}
    assert values["head"]["r2"] > 0.8 and 0.8 < values["head_certainty"]["interval_coverage"] < 0.97
