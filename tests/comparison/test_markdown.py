import re

import pytest

from stages.comparison.markdown import escaped


@pytest.mark.parametrize(
    "text",
    [
        "@someone",
        "![x](https://example.org/x.png)",
        "[click](javascript:alert(1))",
        "a\rb",
        "a\nb\n# title",
        "`code`",
        "\x1b[2J\x9b\u202e",
        "<img src=x> & <!--",
        "one | two \\| three",
        "**bold** _it_ ~~gone~~ #12 $x$",
        "www.example.org https://example.org",
    ],
)
def test_names_are_text(text: str) -> None:
    page = escaped(text)
    assert page.isprintable() or (set(page) - {"\u200b"} and page.replace("\u200b", "").isprintable())
    assert not re.search(r"(?<!\\)[!\[\]*_~]|[@<>|`$]|www\.|://|#(?!\d+;)|&(?!#\d+;)", page), page


def test_plain_names_stay_as_they_are() -> None:
    for text in ("gate: passed against feature/x-1", "0.95", "sports and games (old)", "größe", "猫"):
        assert escaped(text) == text
