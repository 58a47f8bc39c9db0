"""The page in a real browser: texts, pairs, pictures, the key, and that nothing leaves the machine."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.conftest import Once
from tests.serving.servers import (
    Server,
    listening_server,
    make_mails,
    make_numbers,
    make_pictures,
    make_several_labels,
    make_texts,
    picture,
)
from tests.watched_page import WatchedPage

HOSTILE = "order </script><script>window.harmed = 1</script><img src=x onerror='window.harmed = 1'> & \u2028 \u202e"

Open = Callable[[Server], WatchedPage]


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Opens the page of a server; at the end, it may not have complained or asked for anything elsewhere."""
    pages: list[tuple[WatchedPage, str]] = []
    with ExitStack() as stack:

        def open_page(server: Server, width: int = 1100, path: str = "") -> WatchedPage:
            address = stack.enter_context(listening_server(server))
            watched = WatchedPage(browser, width=width, height=800)
            watched.page.goto(address + path)
            if not path:  # its script makes the field and focuses it: what is typed before that is lost
                expect(watched.page.locator("input:focus, textarea:focus")).to_be_visible()
            pages.append((watched, address))
            return watched

        yield open_page
        for watched, address in pages:
            assert all(url.startswith((address, "data:")) for url in watched.requests)
            watched.page.close()


def test_a_number_is_shown_with_its_interval(once: Once, opened: Open) -> None:
    server = Server(once("serving-numbers", make_numbers))
    few, many, rejected = server.predict(["thanks thanks order", "order order thanks", None])
    assert few["low"] < few["predicted"] < many["predicted"] < many["high"] and "confidence" not in few
    assert rejected["predicted"] is rejected["low"] is None and rejected["rejected"]
    page = opened(server).page
    expect(page.locator("#about")).to_have_text("A number")
    page.keyboard.type("order order thanks")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#rows li")).to_have_count(5)
    assert float(page.inner_text("#label")) == pytest.approx(many["predicted"], rel=1e-5)
    low, high = map(float, page.inner_text("#confidence").split(" to "))
    assert (low, high) == pytest.approx((many["low"], many["high"]), rel=1e-5)
    assert page.is_hidden("#why") and page.inner_text("#labels") == "" and page.inner_text("#alert") == ""


def test_several_labels_are_listed(once: Once, opened: Open) -> None:
    server = Server(once("serving-several-labels", make_several_labels))
    both, none = server.predict(["an order with thanks", "hello"])
    assert both["predicted"] == ["a", "b"] and none["predicted"] == [] and both["probabilities"].keys() == {"a", "b"}
    assert both["confidence"] == pytest.approx(min(both["probabilities"].values()), abs=1e-6)
    watched = opened(server)
    page = watched.page
    page.keyboard.type("an order with thanks")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#rows li")).to_have_count(5)
    assert page.inner_text("#label") == "a, b" and page.is_hidden("#why") and page.inner_text("#alert") == ""
    page.fill("#field-0", "hello")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#label")).to_have_text("No label")


def test_a_text_its_words_and_its_nearest_rows(once: Once, opened: Open) -> None:
    watched = opened(Server(once("serving-texts", make_texts)))
    page = watched.page
    expect(page.locator("#field-0")).to_be_focused()
    page.keyboard.type("an order for you")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#rows li")).to_have_count(5)
    assert page.inner_text("#label") == "a" and page.locator("#labels li").count() == 2
    assert "familiar than" in page.inner_text("#sure")
    assert page.inner_text("#parts") == "an order for you" and page.inner_text("#parts .for") == " order"
    assert "rows.csv:" in page.inner_text("#rows li:first-child")
    page.fill("#field-0", " ")
    page.click("#go")
    expect(page.locator("#label")).to_have_text("Not classified")
    assert page.inner_text("#confidence") == "text is empty" and page.is_hidden("#why") and page.is_hidden("#nearest")
    page.fill("#field-0", HOSTILE)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#parts")).to_contain_text("<script>window.harmed")
    assert not page.evaluate("window.harmed") and page.locator("main img").count() == 0
    page.fill("#field-0", "a" * 100_001)
    page.click("#go")
    expect(page.locator("#alert")).to_contain_text("longer than 100,000 characters")
    watched.problems = [problem for problem in watched.problems if "status of 413" not in problem]
    assert not watched.problems


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_two_columns_on_a_telephone(once: Once, opened: Open, scheme: str) -> None:
    watched = opened(Server(once("serving-mails", make_mails)), width=380)
    page = watched.page
    page.emulate_media(color_scheme=scheme)
    expect(page.locator("#fields label")).to_have_text(["subject", "body"])
    page.get_by_label("subject").fill("order " * 40)
    page.get_by_label("body").fill("x" * 500)
    page.click("#go")
    expect(page.locator("#rows li")).to_have_count(5)
    assert watched.width_with_long_words() == 380
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 20, 23)"
    assert dark == (scheme == "dark") and not watched.problems


def test_a_picture_that_is_dropped_or_chosen(once: Once, opened: Open, tmp_path: Path) -> None:
    watched = opened(Server(once("serving-pictures", make_pictures)))
    page = watched.page
    expect(page.locator("#file")).to_be_focused()
    (tmp_path / "x.png").write_bytes(picture("blue", 300))
    page.set_input_files("#file", tmp_path / "x.png")
    expect(page.locator("#rows img")).to_have_count(5)
    assert page.inner_text("#label") == "blue" and page.locator("#parts rect").count() > 0
    expect(page.locator("#parts img")).to_have_js_property("naturalWidth", 24)
    drop = """(bytes) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "y.png", { type: "image/png" }));
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    }"""
    page.evaluate(drop, [*picture("red", 301)])
    expect(page.locator("#label")).to_have_text("red")
    page.evaluate(drop, [*b"no picture"])
    expect(page.locator("#confidence")).to_contain_text("y.png is not an image")
    assert not watched.problems


def test_the_page_asks_for_the_key(once: Once, opened: Open) -> None:
    watched = opened(Server(once("serving-texts", make_texts), key="secret"))
    page = watched.page
    expect(page.locator("#key-input")).to_be_focused()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#alert")).to_contain_text("send the key")
    page.fill("#key-input", "secret")
    page.keyboard.press("Enter")
    expect(page.locator("#field-0")).to_be_focused()
    page.keyboard.type("thanks")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#label")).to_have_text("b")
    assert all("401" in problem for problem in watched.problems)


def test_the_paths_are_described(once: Once, opened: Open) -> None:
    watched = opened(Server(once("serving-texts", make_texts)), path="docs", width=380)
    page = watched.page
    expect(page.locator("#paths h2")).to_have_count(5)
    page.get_by_text("Body, application/json").first.click()
    expect(page.locator("details[open] pre")).to_contain_text('"inputs"')
    assert watched.width_with_long_words() == 380 and not watched.problems
