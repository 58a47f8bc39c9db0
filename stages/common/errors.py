"""The one exception a user sees, and the pieces that its sentences are made of."""

import difflib
from collections.abc import Iterable


class HeadstartError(Exception):
    """A user's mistake or a missing piece, told in one sentence: file, value, what is allowed, what to do."""

    def __init__(self, sentence: str) -> None:
        """A line break in it, as names of files and columns can have, is told as one."""
        super().__init__(sentence.replace("\r", "\\r").replace("\n", "\\n"))


def one_line(error: BaseException) -> str:
    """The first line of what a library says of an error, or the error's type where it says nothing."""
    lines = [line for line in map(str.strip, str(error).splitlines()) if line]
    return lines[0][:300].rstrip(".") if lines else type(error).__name__


def listed(names: Iterable[object], limit: int = 20) -> str:
    """Names separated by commas, and how many more there are than `limit`."""
    texts = [str(name) for name in names]
    more = f" and {len(texts) - limit:,} more" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + more


def did_you_mean(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """`; did you mean X?` for the known name closest to `name`, whatever its case; empty where none is close."""
    by_lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    return f"; did you mean {by_lower[close[0]]}?" if close else ""
