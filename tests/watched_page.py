"""A page in a real browser, with all that it complains of and asks for."""

from playwright.sync_api import Browser, Page


class WatchedPage:
    """A new page, whose problems and requests are noted from the beginning."""

    def __init__(self, browser: Browser, *, width: int, height: int) -> None:
        self.page: Page = browser.new_page(viewport={"width": width, "height": height})
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
