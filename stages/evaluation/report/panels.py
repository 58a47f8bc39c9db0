"""What the panels of the page draw, of classes or of numbers."""

from typing import Any, NamedTuple


class Panels(NamedTuple):
    """The part of the page's data that depends on what labels are.

    Attributes:
        page: of the whole page.
        rows: of the shown rows: `truth`, and `models` with every model's predictions.
        train: (shown training rows,) labels.
    """

    page: dict[str, Any]
    rows: dict[str, Any]
    train: list[Any]
