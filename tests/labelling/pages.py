"""The page in a real browser."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, expect

from stages.labelling import serving
from tests.labelling.desks import Desk


@contextmanager
def served(desk: Desk) -> Iterator[str]:
    """Serve the page of a desk in a thread, with its background work; gives the address."""
    with serving.listening(0) as listener:
        server, address = serving.make(desk.session, listener)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        desk.start()
        try:
            yield address
        finally:
            server.should_exit = True
            thread.join()


class Tab:
    """A tab of the page, with all that it complained of and asked for."""

    def __init__(self, browser: Browser, address: str, *, width: int = 1100) -> None:
        self.page: Page = browser.new_page(viewport={"width": width, "height": 800})
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(address)
        self.page.wait_for_selector("#row .source")

    @property
    def source(self) -> str:
        """File and line of the row that is shown."""
        return self.page.inner_text("#row .source")

    def press(self, *keys: str) -> None:
        """Press keys, of which the last one brings another row."""
        before = self.source
        for key in keys:
            self.page.keyboard.press(key)
        expect(self.page.locator("#row .source")).not_to_have_text(before)

    def classes(self) -> list[str]:
        """The names that may be chosen, in their order."""
        return self.page.locator("#classes .name").all_inner_texts()

    def wait_for_guess(self) -> None:
        """Skip rows until one comes with a guess."""
        for _ in range(50):
            if self.page.locator("#classes .share").count():
                return
            self.press("ArrowRight")
            self.page.wait_for_timeout(50)
        raise AssertionError("no guess came")

    def alert(self) -> str:
        return self.page.inner_text("#alert")
