"""The report shows the words or regions that decided a mistake: shaded, with their shares, as text and never run."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from PIL import Image
from playwright.sync_api import Browser, expect

from stages.evaluation.report import why
from tests.evaluation.report_pages import HOSTILE, Opened, evaluated
from tests.projects import TFIDF


def test_words_of_mistakes_are_shaded_by_their_share(evaluation: Path, browser: Browser) -> None:
    opened = Opened(browser, evaluation / "report.html")
    page = opened.page
    explained = pq.read_table(evaluation / "explanations.parquet").to_pylist()
    assert page.locator("details.why").count() == 5
    page.locator("details.why summary").first.click()
    words = page.locator("details.why .why-words").first
    expect(words.locator("mark").first).to_be_visible()  # they are made after the click
    planted = {"red <i>": "ruby", "green": "leaf", "blue": "sky"}[explained[0]["predicted"]]
    summary = page.locator("details.why summary").first.inner_text()
    assert summary == f"why {explained[0]['predicted']}, not {explained[0]['label']}"
    marks = words.locator("mark").evaluate_all(
        "all => all.map(mark => [mark.firstChild.data, mark.innerText, mark.title])"
    )
    shares = {word: title for word, _, title in marks}
    assert shares[planted].startswith("+") and f"{planted}{shares[planted]}" in words.inner_text()
    assert words.locator("mark", has_text=planted).evaluate("mark => getComputedStyle(mark).backgroundColor") != (
        "rgba(0, 0, 0, 0)"
    )
    assert re.search(
        r"Of the two, .* has [\d.]+ %; with an empty text", page.locator("details.why .note").first.inner_text()
    )
    page.select_option("#row-model", "baseline")
    assert page.locator("details.why").count() == 0, "the head was explained"
    assert opened.problems == []


def test_hostile_words_are_text(tmp_path: Path, browser: Browser) -> None:
    lines = [f"{'ruby' if n % 2 else 'leaf'} w{n},{'red' if n % 2 else 'green'},train" for n in range(40)]
    lines += [f'"ruby {HOSTILE}",green,test', "leaf w1,green,test"]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label,split", *lines]) + "\n", "utf-8")
    columns = {"prepare__label": "label", "prepare__split": "split", "evaluate__learning_curve": []}
    path = evaluated(tmp_path / "project", prepare__data=str(tmp_path / "rows.csv"), **columns, **TFIDF)
    opened = Opened(browser, path / "report.html")
    opened.page.locator("details.why summary").click()
    assert "onerror='window.harmed" in opened.page.locator(".why-words").inner_text()
    assert opened.page.evaluate("window.harmed") is None and opened.problems == []


def test_regions_of_pictures_are_shaded(tmp_path: Path, browser: Browser) -> None:
    generator = np.random.default_rng(0)
    for name in ("dark", "light"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(20):
            shade = 60 if (name == "dark") ^ (number % 5 == 0) else 180
            values = generator.integers(shade - 60, shade + 60, (60, 80, 3)).astype(np.uint8)
            Image.fromarray(values).save(tmp_path / f"photos/{name}/{number}.png")
    pixels = {"backbone__family": "pixels", "backbone__name": "rgb", "backbone__revision": None}
    path = evaluated(tmp_path / "project", prepare__data=str(tmp_path / "photos"), **pixels) / "report.html"
    opened = Opened(browser, path, width=380)
    opened.page.locator("details.why summary").first.click()
    picture = opened.page.locator(".why-picture").first.bounding_box()
    assert picture and picture["width"] <= 240
    boxes = [region.bounding_box() for region in opened.page.locator(".why-picture").first.locator("span").all()]
    assert len(boxes) == 25
    area = sum(box["width"] * box["height"] for box in boxes if box)
    assert abs(area - picture["width"] * picture["height"]) < 0.02 * area
    assert opened.problems == []


def test_long_phrases_are_shortened_in_the_page() -> None:
    phrase = "word " * 1_000
    frame = pd.DataFrame(
        {"explanation": [f'{{"output": 1, "empty": 0, "parts": [{{"words": "{phrase}", "share": 1}}]}}'] * 150}
    )
    explanations = why.collect(frame)
    assert len(explanations) == why.MAX_EXPLAINED_ROWS
    assert len(explanations[0]["parts"][0]["words"]) < 1.1 * why.MAX_PHRASE_CHARACTERS
