"""The page in a real browser."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from playwright.sync_api import Browser, expect

from stages.labelling import serving
from stages.web.listening import LOOPBACK, listening
from tests.labelling.desks import Desk
from tests.watched_page import WatchedPage


@contextmanager
def served(desk: Desk) -> Iterator[str]:
    """Serve the page of a desk in a thread, with its background work; gives the address."""
    with listening(LOOPBACK, 0) as listener:
        config, address = serving.configure(desk.session, listener)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        desk.start()
        try:
            yield address
        finally:
            server.should_exit = True
            thread.join()


class Tab(WatchedPage):
    """A tab of the page."""

    def __init__(self, browser: Browser, address: str, *, width: int = 1100) -> None:
        super().__init__(browser, width=width, height=800)
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
