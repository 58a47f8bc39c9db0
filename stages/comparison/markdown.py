"""Tables as Markdown, in which names mention nobody, link nowhere and show no image, and as text for a terminal."""

import re
from collections.abc import Iterable, Iterator, Sequence

from stages.common.errors import printable

# GitHub and GitLab look for mentions and references in the rendered text: there, only another character ends a name.
ZERO_WIDTH_SPACE = "\u200b"
ESCAPES = {character: f"\\{character}" for character in "\\![]*_~"}
ESCAPES |= {character: f"&#{ord(character)};" for character in "<>&|`$"}
ESCAPES |= {character: f"&#{ord(character)};{ZERO_WIDTH_SPACE}" for character in "@#"}
LINK = re.compile(r"(?<=:)//|(?<=www)\.", re.IGNORECASE)


def escaped(text: str) -> str:
    """Escape text so that it is shown as it is, on one line, in a cell of a table too."""
    plain = "".join(ESCAPES.get(character, character) for character in printable(text))
    return LINK.sub(lambda match: "".join(f"&#{ord(character)};" for character in match[0]), plain)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table; cells are written as they are."""
    yield f"| {' | '.join(header)} |"
    yield "|---" * len(header) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def aligned(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table as text with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
