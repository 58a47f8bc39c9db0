"""Numbers as evaluate writes them: rounded on purpose, below the noise of any test set."""

import json
from pathlib import Path
from typing import Any

DECIMALS = 4


def write_json(path: Path, content: object) -> None:
    """Write `content`, its numbers rounded, its keys in their order."""
    path.write_text(json.dumps(rounded(content), indent=1, ensure_ascii=False) + "\n", "utf-8")


def rounded(value: Any) -> Any:
    """`value` with each number in it rounded to four decimals; small ones, such as learning rates, to three digits."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    if not isinstance(value, float):
        return value
    return round(value, DECIMALS) if abs(value) >= 0.01 else float(f"{value:.3g}")
