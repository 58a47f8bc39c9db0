"""Training rows in the report: those nearest to a mistake, those on the map, and how to list them."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, expect
from sklearn.neighbors import NearestNeighbors

from stages.tables import features, prepared
from tests.evaluation.report_pages import Opened


@pytest.fixture
def page(evaluation: Path, browser: Browser) -> Page:
    return Opened(browser, evaluation / "report.html").page


def count_in_line(page: Page) -> list[int]:
    """The test and the training rows that the map counts."""
    return [int(number) for number in re.findall(r"\d+", page.inner_text("#map-count"))]


def count_of_dots(page: Page, condition: str) -> list[int]:
    """The test and the training rows of the map whose x and y pass a condition."""
    script = (
        f"['test', 'train'].map(split => dots.filter(([x, y, layer]) => layer.split === split && {condition}).length)"
    )
    counts: list[int] = page.evaluate(script)
    return counts


def test_a_mistake_shows_its_five_nearest_training_rows(evaluation: Path, page: Page) -> None:
    folder = evaluation.parent
    train, test = (features.read(folder / "features", split) for split in ("train", "test"))
    texts = dict(
        zip(*(prepared.read(folder / "prepared", "train")[name].to_pylist() for name in ("id", "text")), strict=True)
    )
    shown = page.evaluate("[rows.source[matching[0]], rows.input[matching[0]]]")
    row = prepared.read(folder / "prepared", "test")["source"].to_pylist().index(shown[0])
    distances, nearest = NearestNeighbors(n_neighbors=5, metric="cosine").fit(train.X).kneighbors(test.X[row])
    page.click(".row .nearest summary >> nth=0")
    expect(page.locator(".row").first.locator("tbody tr")).to_have_count(5)
    lines = [
        [cell.inner_text() for cell in line.locator("td").all()]
        for line in page.locator(".row").first.locator("tbody tr").all()
    ]
    assert [float(line[0]) for line in lines] == pytest.approx(1 - distances[0], abs=1e-3)
    for line in lines:
        text, _, source = line[2].rpartition("\n")
        place = next(place for place in nearest[0] if texts[train.ids[place]].startswith(text.strip()[:30]))
        assert line[1] == train.labels[place] and source.startswith("rows.csv:")


def test_the_page_shows_hostile_training_rows_as_text(evaluation: Path, browser: Browser) -> None:
    opened = Opened(browser, evaluation / "report.html")
    page = opened.page
    place = page.evaluate("train.input.findIndex(text => text.includes('harmed'))")
    page.evaluate(f"rows.nearest.forEach(neighbours => neighbours.splice(0, 5, [{place}, 1]))")
    page.click(".row .nearest summary >> nth=0")
    assert "<img src=x onerror" in page.locator(".row .nearest td.input").first.inner_text()
    page.focus("#map-canvas")
    for _ in range(60):
        page.keyboard.press("+")
    more = page.locator("#map-selected >> text=more")
    while more.is_visible():
        more.click()
    assert page.locator("#map-table td.input", has_text="<img src=x onerror").count() > 1
    page.wait_for_timeout(100)
    assert page.evaluate("window.harmed") is None and page.locator("img").count() == 0
    assert opened.problems == [] and len(opened.requests) == 1


def test_a_line_around_dots_lists_their_rows(page: Page) -> None:
    box = page.locator("#map-canvas").bounding_box()
    assert box
    page.locator("#map-canvas").scroll_into_view_if_needed()
    box = page.locator("#map-canvas").bounding_box()
    assert box
    corners = [(0.1, 0.1), (0.1, 0.9), (0.6, 0.9), (0.6, 0.1)]
    for number, (x, y) in enumerate(corners):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        if not number:
            page.mouse.down()
    page.mouse.up()
    [left, right], [top, bottom] = (
        [share * box[side] for share in shares] for side, shares in (("width", (0.1, 0.6)), ("height", (0.1, 0.9)))
    )
    expected = count_of_dots(page, f"x > {left} && x < {right} && y > {top} && y < {bottom}")
    assert count_in_line(page) == expected and min(expected) > 0
    assert page.locator("#map-table tbody tr").count() == 5
    with page.expect_download() as download:
        page.click("#map-csv")
    saved = pd.read_csv(download.value.path(), encoding="utf-8-sig")
    assert saved["split"].tolist() == ["test"] * expected[0] + ["train"] * expected[1]
    assert saved["source"].str.fullmatch(r"rows\.csv:\d+").all()
    page.uncheck("#map-layers >> text=training rows")
    assert count_in_line(page) == [expected[0], 0]


def test_the_keyboard_lists_rows_of_the_map(page: Page) -> None:
    page.focus("#map-canvas")
    for key in ("ArrowLeft", "ArrowUp", "+", "+"):
        page.keyboard.press(key)
    x, y, radius = page.evaluate("[circle.x, circle.y, circle.radius]")
    width, height = page.evaluate("[canvas.clientWidth, canvas.clientHeight]")
    assert (x, y, radius) == (width / 2 - 12, height / 2 - 12, 84)
    inside = count_of_dots(page, f"Math.hypot(x - {x}, y - {y}) < {radius * 0.98}")
    assert (np.array(count_in_line(page)) >= inside).all() and sum(inside) > 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "map-count"
    page.focus("#map-canvas")
    page.keyboard.press("Escape")
    assert page.inner_text("#map-count") == "" and page.locator("#map-selected").is_hidden()


def test_words_are_explained_to_the_keyboard_and_to_a_finger(evaluation: Path, page: Page) -> None:
    for words in ("balanced accuracy", "log loss", "macro F1", "head"):
        page.locator("#headline abbr", has_text=re.compile(f"^{words}$")).first.focus()
        assert page.locator("#tip").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()
    page.locator("#class-table th button", has_text="support").focus()
    assert page.inner_text("#tip") == "The number of test rows of the class."
    page.click("h1")
    page.click("#headline abbr >> nth=0")
    assert page.locator("#tip").is_visible()


def test_an_explained_heading_sorts_and_keeps_its_explanation_beside_it(page: Page) -> None:
    page.click("#class-table th button >> text=precision")
    heading = page.locator("#class-table th[aria-sort] abbr")
    assert heading.inner_text() == "precision"
    tip, word = page.locator("#tip").bounding_box(), heading.bounding_box()
    assert word and (tip is None or abs(tip["x"] - word["x"]) < 30)


def test_a_finger_on_a_dot_shows_its_row(evaluation: Path, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 380, "height": 900}, has_touch=True)
    page.goto((evaluation / "report.html").as_uri())
    page.locator("#map-canvas").scroll_into_view_if_needed()
    x, y = page.evaluate("dots.find(([, , layer]) => layer.split === 'test').slice(0, 2)")
    page.tap("#map-canvas", position={"x": x, "y": y})
    assert page.inner_text("#map-tip .source").startswith("rows.csv:")


def test_the_threshold_is_read_aloud_and_more_rows_get_the_focus(page: Page) -> None:
    slider = page.locator("#coverage-threshold")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert slider.get_attribute("aria-valuetext") == page.inner_text("#coverage-words")
    assert (
        page.inner_text("#coverage-words").startswith(f"At {page.inner_text('#coverage-value')}, ")
        and page.inner_text("#coverage-value") == "0.89"
    )
    page.focus("#row-more")
    page.keyboard.press("Enter")
    assert page.evaluate("[...$('row-list').children].indexOf(document.activeElement)") == 5


def test_every_table_scrolls_by_itself_and_text_is_readable_on_a_phone(
    evaluation: Path, browser: Browser, tmp_path: Path
) -> None:
    report = (evaluation / "report.html").read_text("utf-8")
    (tmp_path / "long.html").write_text(report.replace("green", "a_name_without_a_space_" * 4), "utf-8")
    page = Opened(browser, tmp_path / "long.html", width=380).page
    page.evaluate(
        """Promise.all([...document.querySelectorAll('details:not([open])')].map(details => new Promise(opened => {
            details.addEventListener('toggle', opened);
            details.open = true;
        })))"""
    )
    assert page.evaluate("document.documentElement.scrollWidth") == 380
    tables = page.locator("table").evaluate_all("all => all.map(table => Boolean(table.closest('.scroll')))")
    assert len(tables) > 10 and all(tables)
    hints = page.locator(".scroll").evaluate_all(
        """all => all.map(box =>
            [box.scrollWidth > box.clientWidth + 1, getComputedStyle(box, '::before').content !== 'none'])"""
    )
    assert [wide for wide, _ in hints] == [hint for _, hint in hints] and [True, True] in hints
    sizes = page.locator("main *, header *").evaluate_all(
        """all => all.filter(part => part.offsetParent)
            .filter(part => [...part.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
            .map(part => parseFloat(getComputedStyle(part).fontSize))"""
    )
    assert min(sizes) >= 13
    drawings = page.locator(".chart svg").evaluate_all(
        "all => all.map(svg => svg.clientWidth / svg.viewBox.baseVal.width)"
    )
    assert len(drawings) == 3 and min(drawings) > 0.95


def test_a_list_of_rows_of_the_map_outlives_a_change_of_the_height(page: Page) -> None:
    page.focus("#map-canvas")
    page.keyboard.press("+")
    before = page.inner_text("#map-count")
    page.set_viewport_size({"width": 1100, "height": 700})
    page.wait_for_timeout(50)
    assert page.inner_text("#map-count") == before != ""
    page.set_viewport_size({"width": 700, "height": 700})
    expect(page.locator("#map-count")).to_have_text("")


def test_names_of_lines_that_end_at_the_same_point_do_not_overlap(page: Page) -> None:
    series = "{ one: data.curves.backbone, other: data.curves.backbone }"
    page.evaluate(f"chart('curve-chart', 'x', {series}, {{ x: 'labels_per_class', y: 'accuracy', log: true }})")
    boxes = page.locator("#curve-chart text").filter(has_text=re.compile("^(one|other)$"))
    tops = [(boxes.nth(number).bounding_box() or {})["y"] for number in range(2)]
    assert abs(tops[0] - tops[1]) > 12


def test_a_row_of_several_lists_is_written_once(evaluation: Path, page: Page) -> None:
    inputs = page.evaluate("data.label_errors.map(row => data.inputs[row.at])")
    html = (evaluation / "report.html").read_text("utf-8")
    assert inputs and {html.count(text[:40].strip()) for text in inputs if "<" not in text[:40]} == {1}
