"""The digits of scikit-learn."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from stages.fetch import fetch
from tests.datasets.sources import lines_printed, pixels
from tests.projects import contents


def test_digits_are_those_of_scikit_learn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch("digits", tmp_path / "digits")
    files = contents(tmp_path / "digits")
    assert len(files) == 1_797 and {name.split("/")[0] for name in files} == set("0123456789")
    # The first digit's first row is 0 0 5 13 9 1 0 0 of 16.
    assert pixels(tmp_path / "digits/0/0000.png").dtype == np.uint8
    assert pixels(tmp_path / "digits/0/0000.png")[0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]
    bundled = load_digits()
    for row in (1, 1_000, 1_796):
        image = pixels(tmp_path / f"digits/{bundled.target[row]}/{row:04d}.png")
        np.testing.assert_allclose(image, bundled.images[row] * 255 / 16, atol=0.5)
    printed = lines_printed(capsys)
    target = tmp_path / "digits"
    assert printed == [
        f"fetch: digits -> {target}: 1,797 images in 10 classes",
        f"next: dvc add {target}",
        f"next: in params.yaml set prepare.data: {target}",
    ]
    fetch("digits", tmp_path / "again")
    assert contents(tmp_path / "again") == files
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "digits"]
