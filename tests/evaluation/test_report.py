"""What the report says, and that a person can use it."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from playwright.sync_api import Browser

from stages.evaluation.report import content
from stages.evaluation.results import ScoredRows
from stages.tasks.single import Single
from tests.evaluation import feature_tables
from tests.evaluation.report_pages import HOSTILE, Opened, evaluated, texts
from tests.projects import TFIDF, run_stages, set_params


def test_clicks_filters_and_sorting(evaluation: Path, browser: Browser) -> None:
    opened = Opened(browser, evaluation / "report.html")
    page = opened.page
    predictions = json.loads((evaluation / "plots/head/confusion.json").read_text("utf-8"))
    wrong = [row for row in predictions if row["actual"] != row["predicted"]]
    assert opened.count() == len(wrong) > 5, "mistakes come first"
    page.click("#row-more")
    verdicts = [float(text.split()[-2]) for text in page.locator(".row .verdict .wrong").all_inner_texts()]
    assert verdicts == sorted(verdicts, reverse=True), "the most confident first"
    page.select_option("#row-sort", "unsure")
    page.click("#row-more")
    again = [float(text.split()[-2]) for text in page.locator(".row .verdict .wrong").all_inner_texts()]
    assert again == sorted(verdicts)

    cell = page.locator("#matrix tbody tr").nth(2).locator("td").nth(0).locator("button")
    title = cell.get_attribute("title")
    cell.click()
    assert title and opened.count() == int(title.split()[-1]) == int(cell.inner_text())
    actual, guess = re.findall(r"(.*) predicted as (.*):", title)[0]
    labels = json.loads((evaluation.parent / "head/model.json").read_text("utf-8"))["labels"]
    assert {actual, guess} <= set(labels)
    assert set(page.locator(".row .verdict .note").all_inner_texts()) != set()
    assert all(text.startswith(f"actual {actual},") for text in page.locator(".row .verdict .note").all_inner_texts())

    page.select_option("#row-actual", "")
    page.select_option("#row-predicted", "")
    assert opened.count() == 90 and page.locator(".row").count() == 5
    page.click("#row-more")
    assert page.locator(".row").count() == 30
    page.fill("#row-search", "RUBY")
    assert opened.count() == 30
    page.select_option("#row-model", "baseline")
    page.check("#row-mistakes")
    assert opened.count() < 30
    page.select_option("#confusion-model", "baseline")
    page.select_option("#class-model", "baseline")
    page.click("#class-table th button >> nth=4")
    page.locator("#map-legend button").first.click()
    assert page.locator("#slice-table tbody tr").count() == 2
    page.hover("#map-canvas", position={"x": 300, "y": 200})
    assert opened.problems == []


def test_what_rows_hold_is_shown_and_not_run(evaluation: Path, browser: Browser) -> None:
    opened = Opened(browser, evaluation / "report.html")
    page = opened.page
    page.uncheck("#row-mistakes")
    page.fill("#row-search", "harmed")
    assert opened.count() == 1
    assert HOSTILE.strip("\u2028 ") in page.locator(".row .input").first.inner_text()
    page.wait_for_timeout(100)
    assert page.evaluate("window.harmed") is None and page.locator("img").count() == 0
    assert "red <i>" in page.locator("#matrix th").all_inner_texts()
    assert opened.problems == [] and opened.requests == [(evaluation / "report.html").as_uri()]


def test_a_phone_shows_it_without_scrolling_sideways(evaluation: Path, browser: Browser) -> None:
    opened = Opened(browser, evaluation / "report.html", width=360)
    assert opened.width_with_long_words() == 360


def test_what_it_says_is_what_was_measured(evaluation: Path, browser: Browser) -> None:
    page = Opened(browser, evaluation / "report.html").page
    metrics = json.loads((evaluation / "details.json").read_text("utf-8"))
    shown = page.locator("#headline tbody tr").first.locator("td").first.inner_text()
    ends = metrics["head_ci95"]["accuracy"]
    assert [float(text) for text in re.findall(r"[\d.]+", shown)] == pytest.approx(
        [metrics["head"]["accuracy"], ends["low"], ends["high"]], abs=1e-3
    )
    head = json.loads((evaluation.parent / "head/model.json").read_text("utf-8"))
    assert f"{head['training']['rows']} training rows, 90 test rows" in page.inner_text("header")
    assert str(metrics["label_errors"]["test"]) in page.inner_text("#suspects p")
    rows = page.locator("#suspect-table tbody tr")
    assert rows.count() == 5
    page.click("#suspects >> text=more")
    assert rows.count() == sum(metrics["label_errors"].values())


def test_the_verdict_comes_first_and_sections_follow_in_the_order_of_questions(
    evaluation: Path, browser: Browser
) -> None:
    page = Opened(browser, evaluation / "report.html").page
    assert page.locator("main section").evaluate_all("all => all.map(part => part.id)") == [
        *("verdict", "headline", "curve", "confusion", "classes", "rows", "suspects", "near-duplicates"),
        *("reliability", "slices", "map", "settings"),
    ]
    assert page.inner_text("#verdict dd >> nth=0").startswith("head accuracy ")
    assert re.match(
        r"(Still rising: twice the labels would add|(Flat|Falling): twice the labels would change)",
        page.inner_text("#curve p"),
    )
    assert "classes' F1" in (page.locator("#headline abbr", has_text="macro F1").first.get_attribute("title") or "")


def test_a_threshold_tells_how_many_rows_are_decided_and_right(evaluation: Path, browser: Browser) -> None:
    page = Opened(browser, evaluation / "report.html").page
    table = pq.read_table(evaluation / "predictions.parquet").to_pandas()
    head = table[table["model"] == "head"]
    for step in (0, 60):
        decided = head[head["confidence"] >= step / 100]
        right = (decided["label"] == decided["predicted"]).mean()
        page.locator("#coverage-threshold").fill(str(step))
        assert page.inner_text("#coverage-words") == (
            f"At {step / 100:.2f}, {len(decided) / 90:.1%} of the rows are decided, {right:.1%} of them right.".replace(
                "%", " %"
            )
        )
    shares = sorted({len(head[head["confidence"] >= step / 100]) / 90 for step in range(101)} - {0}, reverse=True)
    cells = page.locator("#coverage-chart td:nth-child(2)").all_text_contents()
    assert cells == [f"{share:.4g}" for share in shares], "a line for every share"


def test_mistakes_and_suspects_are_saved_as_csv_with_file_and_line(evaluation: Path, browser: Browser) -> None:
    metrics = json.loads((evaluation / "details.json").read_text("utf-8"))
    page = Opened(browser, evaluation / "report.html").page
    page.uncheck("#row-mistakes")
    for button, rows in (("#row-csv", 90), ("#suspect-csv", sum(metrics["label_errors"].values()))):
        with page.expect_download() as download:
            page.click(button)
        saved = pd.read_csv(download.value.path(), encoding="utf-8-sig")
        assert len(saved) == rows and saved["source"].str.fullmatch(r"rows\.csv:\d+").all()
    with page.expect_download() as download:
        page.click("#row-csv")
    saved = pd.read_csv(download.value.path(), encoding="utf-8-sig")
    hostile = saved[saved["source"] == "rows.csv:62"]
    assert "window.harmed = 1" in hostile["input"].item()


def test_a_cell_that_a_spreadsheet_would_run_is_text(evaluation: Path, browser: Browser) -> None:
    page = Opened(browser, evaluation / "report.html").page
    cells = page.evaluate("[`=HYPERLINK('x')`, '+1', '-1', '@x', 'a,\"b\"', 'plain', null, -0.25].map(csvCell)")
    assert cells == ["'=HYPERLINK('x')", "'+1", "'-1", "'@x", '"a,""b"""', "plain", "", "-0.25"]


def test_a_table_that_is_too_wide_for_a_phone_says_that_it_scrolls(evaluation: Path, browser: Browser) -> None:
    for width, is_wide in ((360, True), (1100, False)):
        page = Opened(browser, evaluation / "report.html", width=width).page
        wide = page.locator("#headline .scroll.wide")
        assert bool(wide.count()) == is_wide
        assert wide.evaluate_all("all => all.every(box => box.tabIndex === 0)"), "the keyboard can scroll it"


@pytest.mark.slow
def test_ten_thousand_test_rows_open_at_once(tmp_path: Path, evaluation: Path, browser: Browser) -> None:
    table = texts(tmp_path, 300, 10_000, 60)
    columns = {"prepare__label": "label", "prepare__split": "split", "evaluate__repeats": 1}
    path = evaluated(tmp_path / "project", prepare__data=str(table), **columns, **TFIDF) / "report.html"
    assert path.stat().st_size < 15e6
    opened = Opened(browser, path)
    opened.page.uncheck("#row-mistakes")
    assert opened.count() == 10_000 and opened.problems == []
    assert opened.seconds < 10 * Opened(browser, evaluation / "report.html").seconds, "which has 90 rows"


def test_images_are_thumbnails(tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    for name, shade in {"dark": 60, "light": 180}.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(40):
            values = generator.integers(shade - 60, shade + 60, (150, 200, 3)).astype(np.uint8)
            Image.fromarray(values).save(tmp_path / f"photos/{name}/{number}.png")
    pixels = {"backbone__family": "pixels", "backbone__name": "rgb", "backbone__revision": None}
    path = evaluated(tmp_path / "project", prepare__data=str(tmp_path / "photos"), **pixels) / "report.html"
    opened = Opened(browser, path)
    opened.page.uncheck("#row-mistakes")
    assert opened.count() > 5
    images = opened.page.locator(".row img")
    size = images.first.evaluate("image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])")
    assert size == [96, 72]
    assert opened.problems == [] and all(url.startswith(("file:", "data:")) for url in opened.requests)


def test_rows_beyond_the_page_are_the_least_interesting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = np.array([0, 0, 0, 1, 1])
    P = np.array([[0.9, 0.1], [0.3, 0.7], [0.1, 0.9], [0.4, 0.6], [0.8, 0.2]])
    scored = ScoredRows(feature_tables.table(np.zeros((5, 1)), list("aaabb")), truth, Single(("a", "b")), {"head": P})
    assert content.rows_to_show(scored, "head").tolist() == [2, 4, 1, 0, 3]
    monkeypatch.setattr(content, "MAX_REPORT_ROWS", 2)
    assert content.rows_to_show(scored, "head").tolist() == [2, 4]


@pytest.mark.slow
def test_the_page_starts_with_the_fine_tuned_model_that_the_verdict_is_about(trained: Path, browser: Browser) -> None:
    set_params(
        trained, finetune__method="full", finetune__epochs=1, evaluate__learning_curve=[], evaluate__bootstrap=50
    )
    path = run_stages(trained, "finetune", "evaluate") / "data/evaluation/report.html"
    opened = Opened(browser, path)
    names = ("confusion", "class", "row", "trust")
    assert [opened.page.input_value(f"#{name}-model") for name in names] == ["finetuned"] * 4
    assert "was kept. Baseline: a logistic head" in opened.page.inner_text("header")
    for model in ("head", "baseline"):
        opened.page.select_option("#row-model", model)
    assert opened.problems == []
