"""JSON with rounded numbers: four decimals are far below the noise of any test set."""

from pathlib import Path
from typing import Any

from stages.common import json_file

DECIMALS = 4


def write_json(path: Path, content: object) -> None:
    """Write `content` with its numbers rounded and its keys in their order."""
    json_file.write(path, rounded(content), indent=1)


def rounded(value: Any) -> Any:
    """Round every float in `value` to four decimals, and small ones, such as learning rates, to three digits."""
    if isinstance(value, str):  # most values are
        return value
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    if not isinstance(value, float):
        return value
    return round(value, DECIMALS) if abs(value) >= 0.01 else float(f"{value:.3g}")
