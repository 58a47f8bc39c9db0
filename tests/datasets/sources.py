"""Compare data sets that were fetched."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def lines_printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The printed lines, without seconds and memory."""
    return re.sub(r", in [0-9.]+ s, [0-9.]+ GB$", "", capsys.readouterr().out, flags=re.MULTILINE).splitlines()
