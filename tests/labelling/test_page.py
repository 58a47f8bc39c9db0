"""The page in a real browser: keys, what it shows, and that nothing leaves the machine."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from stages.tables import labels_file
from tests.conftest import Once, copy
from tests.labelling.desks import Desk, make_many_classes, make_pictures, make_texts
from tests.labelling.pages import Tab, served

HOSTILE = "</script><script>window.harmed = 1</script><img src=x onerror='window.harmed = 1'> <b>great</b> & \u2028"

Open = Callable[[Desk], str]  # serve the page of a desk until the test ends; gives the address


@pytest.fixture
def serve() -> Iterator[Open]:
    with ExitStack() as stack:
        yield lambda desk: stack.enter_context(served(desk))


@pytest.fixture
def desk(tmp_path: Path, once: Once) -> Desk:
    return Desk(copy(once("labelling-texts", make_texts), tmp_path / "project"))


@pytest.fixture
def many(tmp_path: Path, once: Once) -> Desk:
    return Desk(copy(once("labelling-many", make_many_classes), tmp_path / "project"))


def last(desk: Desk) -> tuple[str, str]:
    """Text and label of the last line of the file."""
    line = desk.stored()[-1]
    return line["name"], line["label"]


def test_keys(desk: Desk, serve: Open, browser: Browser) -> None:
    tab = Tab(browser, serve(desk))
    tab.wait_for_guess()
    guess, *classes = tab.classes()
    assert classes == ["bird", "fruit", "tool"] and guess in classes
    text = tab.page.inner_text("#row .text")
    tab.press("Enter")
    assert last(desk) == (text, guess)
    text, source = tab.page.inner_text("#row .text"), tab.source
    tab.press("3")
    assert last(desk) == (text, "tool")
    tab.press("z")
    assert tab.source == source and last(desk) == (text, "")
    tab.press("2")
    tab.press("Control+z")
    tab.press("1")
    assert labels_file.read(desk.labels).by_id[desk.stored()[-1]["id"]].label == "bird"
    lines = len(desk.stored())
    tab.press("s")
    tab.press("?")
    tab.press("ArrowRight")
    assert len(desk.stored()) == lines
    tab.press("z")
    tab.press("n", *"bees", "Enter")
    assert last(desk)[1] == "bees"
    tab.page.keyboard.press("9")  # no class has it
    tab.page.keyboard.press("x")
    tab.press("4")
    assert last(desk)[1] == "bees" and not tab.problems
    expect(tab.page.locator("#count")).to_contain_text("4 labels")


def test_a_held_key_is_one_answer(desk: Desk, serve: Open, browser: Browser) -> None:
    tab = Tab(browser, serve(desk))
    before = tab.source
    for _ in range(5):
        tab.page.keyboard.down("2")  # the second and later ones are repeats
    expect(tab.page.locator("#row .source")).not_to_have_text(before)
    tab.page.wait_for_timeout(300)
    tab.page.keyboard.up("2")
    assert len(desk.stored()) == 1


def test_buttons_do_what_keys_do(desk: Desk, serve: Open, browser: Browser) -> None:
    tab = Tab(browser, serve(desk))
    first = tab.source
    tab.page.click("#classes >> text=tool")
    expect(tab.page.locator("#row .source")).not_to_have_text(first)
    assert last(desk)[1] == "tool"
    tab.page.click("#undo")
    expect(tab.page.locator("#row .source")).to_have_text(first)
    tab.page.check("input[value=random]")
    expect(tab.page.locator("#row .source")).not_to_have_text(first)
    tab.press("2")
    assert desk.stored()[-1]["split"] in ("validation", "test")
    tab.page.click("#new")
    tab.page.keyboard.type("Tool")  # a class that there is, but for the case
    assert tab.classes()[0] == "tool"
    tab.press("Enter")
    assert last(desk)[1] == "tool"


def test_from_no_label_on(tmp_path: Path, once: Once, serve: Open, browser: Browser) -> None:
    desk = Desk(copy(once("labelling-bare", partial(make_texts, labelled=0)), tmp_path / "bare"))
    tab = Tab(browser, serve(desk))
    expect(tab.page.locator("#filter")).to_be_focused()
    tab.page.keyboard.type("fruit")
    tab.press("Enter")
    tab.press("n", *"tool", "Enter")
    tab.press("1")
    assert [line["label"] for line in desk.stored()] == ["fruit", "tool", "fruit"]
    tab.wait_for_guess()
    assert not tab.problems


def test_more_than_nine_classes_are_typed(many: Desk, serve: Open, browser: Browser) -> None:
    tab = Tab(browser, serve(many))
    tab.wait_for_guess()
    guess = tab.classes()[0]
    assert sorted(tab.classes()) == [f"class {number:02}" for number in range(12)]
    tab.press("Enter")
    assert last(many)[1] == guess
    tab.page.keyboard.type("s 07")
    assert tab.classes() == ["class 07", "New class “s 07”"]
    tab.press("Enter")
    assert last(many)[1] == "class 07"
    tab.press("Control+z")
    tab.page.keyboard.type("zebra")
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("#alert")).to_contain_text("Press Enter again to add the class “zebra”")
    assert last(many)[1] == ""
    tab.press("Enter")
    assert last(many)[1] == "zebra"
    tab.page.keyboard.type("class 0")
    tab.press("ArrowDown", "ArrowDown", "Enter")
    assert last(many)[1] in [f"class {number:02}" for number in range(10)]
    tab.press("ArrowRight")
    tab.press("?")
    assert not tab.problems


def test_texts_and_classes_are_shown_as_they_are(tmp_path: Path, serve: Open, browser: Browser) -> None:
    make_texts(tmp_path / "project", rows=40, labelled=0, odd={row: f"{HOSTILE} {row}" for row in range(40)})
    tab = Tab(browser, serve(Desk(tmp_path / "project")))
    assert tab.page.inner_text("#row .text").startswith("</script><script>window.harmed = 1")
    name = "<img src=x onerror='window.harmed = 1'>"
    tab.page.keyboard.type(name)
    tab.press("Enter")
    tab.press("n", *"<b>", "Enter")
    tab.wait_for_guess()
    assert set(tab.classes()) == {name, "<b>"} and tab.page.evaluate("window.harmed") is None
    assert tab.page.locator("#row b, #row img, #classes img").count() == 0 and not tab.problems


def test_pictures(tmp_path: Path, once: Once, serve: Open, browser: Browser) -> None:
    desk = Desk(copy(once("labelling-pictures", make_pictures), tmp_path / "project"))
    tab = Tab(browser, serve(desk))
    for _ in range(3):
        expect(tab.page.locator("#row img")).to_have_class("small")  # once it is loaded
        assert tab.page.evaluate("document.querySelector('#row img').naturalWidth") == 32
        assert tab.page.get_attribute("#row img", "alt") == f"Picture {tab.source}"
        source = tab.source
        tab.press("1")
        assert desk.stored()[-1]["name"] == Path(source).name
    assert not tab.problems


def test_two_tabs_at_once(desk: Desk, serve: Open, browser: Browser) -> None:
    address = serve(desk)
    tabs = [Tab(browser, address), Tab(browser, address)]
    rows = []
    for turn in range(6):
        tab = tabs[turn % 2]
        assert tabs[0].source != tabs[1].source
        rows.append(tab.source)
        tab.press("1" if turn % 2 else "2")
    tabs[0].press("z")
    assert tabs[0].source == rows[4]
    assert len({line["id"] for line in desk.stored()}) == len(set(rows)) == 6
    assert [label.label for label in labels_file.read(desk.labels).by_id.values()].count("bird") == 3
    first = tabs[0].source
    tabs[0].page.reload()  # which gives its row back
    expect(tabs[0].page.locator("#row .source")).not_to_have_text(tabs[1].source)
    tabs[0].page.close()
    assert first != tabs[1].source


def test_no_request_leaves_the_machine(desk: Desk, serve: Open, browser: Browser) -> None:
    address = serve(desk)
    tab = Tab(browser, address)
    for key in ("1", "2", "ArrowRight", "z"):
        tab.press(key)
    assert tab.requests and all(url.startswith((address.partition("?")[0], "data:,")) for url in tab.requests)
    tab.page.evaluate("fetch('http://127.0.0.1:9/').catch(() => {})")
    assert any("Content Security Policy" in problem for problem in tab.problems)


def test_progress_and_the_curve_are_drawn(desk: Desk, serve: Open, browser: Browser) -> None:
    tab = Tab(browser, serve(desk))
    expect(tab.page.locator("#curve polyline")).to_have_count(1)
    expect(tab.page.locator("#curve-say")).to_contain_text("validation rows are right")
    expect(tab.page.locator("#test-say")).to_contain_text("with 100 test rows, the accuracy is known to about ±0.10")
    rows = int(tab.page.inner_text("#test-rows"))
    tab.page.check("input[value=random]")
    while int(tab.page.inner_text("#test-rows")) == rows:
        tab.press("2")
    assert desk.stored()[-1]["split"] == "test"


@pytest.mark.parametrize("width", [380, 1100])
def test_nothing_is_wider_than_the_window(many: Desk, serve: Open, browser: Browser, width: int) -> None:
    tab = Tab(browser, serve(many), width=width)
    assert tab.width_with_long_words() <= width


def test_the_page_goes_on_by_itself_when_new_tables_are_there(desk: Desk, serve: Open, browser: Browser) -> None:
    tab = Tab(browser, serve(desk))
    folder = desk.project / "data/prepared"
    folder.rename(folder.with_name("away"))
    before = tab.source
    tab.page.keyboard.press("1")
    expect(tab.page.locator("#alert")).to_contain_text("the page goes on by itself")
    folder.with_name("away").rename(folder)
    expect(tab.page.locator("#row .source")).not_to_have_text(before)
    expect(tab.page.locator("#alert")).to_be_empty()
    assert len(desk.stored()) == 1


def test_a_lost_server_is_said(desk: Desk, browser: Browser) -> None:
    with served(desk) as address:
        tab = Tab(browser, address)
        tab.press("1")
    tab.page.keyboard.press("2")
    expect(tab.page.locator("#alert")).to_contain_text("Start python -m stages.label again; every label is in the file")
    assert len(desk.stored()) == 1
