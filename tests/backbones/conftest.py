"""Tiny vision encoders."""

from pathlib import Path

import pytest

from tests.backbones.image_backbones import VISION, make_vision_encoder


@pytest.fixture(scope="package")
def vision(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of every encoder of VISION, by its name."""
    return {name: make_vision_encoder(tmp_path_factory.mktemp(name), name) for name in VISION}
