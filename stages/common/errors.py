"""The one exception that a user sees, and the helpers that make its sentences."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

# Characters that a terminal obeys: escape sequences, line breaks, and those that reverse the direction of writing.
CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class HeadstartError(Exception):
    """A user's mistake or a missing piece, in one sentence: the file, the value, what is allowed, what to do."""

    def __init__(self, sentence: str) -> None:
        """Keep the sentence on one line: names of files and columns can hold line breaks and escape sequences."""
        super().__init__(printable(sentence))


def printable(text: str, keep: str = "") -> str:
    """Write control characters as escapes, such as `\\x1b`, but for those in `keep`."""
    return CONTROL_CHARACTERS.sub(
        lambda match: match[0] if match[0] in keep else match[0].encode("unicode_escape").decode("ascii"), text
    )


def damaged(path: Path, error: BaseException) -> HeadstartError:
    """Return the error for an output of a stage that cannot be read, because of `error`."""
    return HeadstartError(
        f"{path} cannot be read ({one_line(error)}); delete it and run `dvc repro` to write it again, or `dvc checkout`"
    )


def not_utf8(path: Path, position: str) -> HeadstartError:
    """Return the error for a text file that is not UTF-8 at `position`, such as `in line 7`."""
    return HeadstartError(f"{path} is not UTF-8 {position}; save it as UTF-8")


def one_line(error: BaseException) -> str:
    """Return a library's error message as one line of at most 300 characters; without a message, the error's type."""
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__


def counted(number: int, thing: str, plural: str = "") -> str:
    """Return a number with its noun, as `1 row` or `1,234 rows`; `plural`: of a noun that takes more than an `s`."""
    return f"{number:,} {thing if number == 1 else plural or f'{thing}s'}"


def listed(names: Iterable[object], limit: int = 20) -> str:
    """Return the first `limit` names, separated by commas, and the number of the others."""
    texts = [str(name) for name in names]
    more = f" and {len(texts) - limit:,} more" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + more


def did_you_mean(name: str, known: Iterable[str], *, prefix: str = "") -> str:
    """Return `; did you mean PREFIX+NAME?` for the known name closest to `name`, whatever its case; else nothing."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"; did you mean {prefix}{by_lower[close[0]]}?" if close else ""
