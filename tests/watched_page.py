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

    def width_with_long_words(self) -> int:
        """Put a word of 200 letters, such as a label, wherever the page names things; return the page's pixels."""
        width: int = self.page.evaluate(
            """() => {
                const parts = document.querySelectorAll("p, h1, label:not(:has(input)), .name");
                parts.forEach((part) => part.append(" ", "x".repeat(200)));
                return document.documentElement.scrollWidth;
            }"""
        )
        return width
