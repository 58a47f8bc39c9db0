"""The explanations of mistakes as the page holds them: of a bounded number of rows, with long phrases shortened."""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

MAX_EXPLAINED_ROWS = 100
MAX_PHRASE_CHARACTERS = 200


def collect(explained: "pd.DataFrame") -> list[dict[str, Any]]:
    """List the explanations of the most confident mistakes, which are the first rows of the page."""
    explanations = [json.loads(explanation) for explanation in explained["explanation"].head(MAX_EXPLAINED_ROWS)]
    for explanation in explanations:
        for part in explanation["parts"]:
            if len(part.get("words", "")) > MAX_PHRASE_CHARACTERS:
                half = MAX_PHRASE_CHARACTERS // 2
                part["words"] = f"{part['words'][:half]} … {part['words'][-half:]}"
    return explanations
