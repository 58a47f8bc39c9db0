"""Outputs are whole or not at all."""

from pathlib import Path

import pytest

from stages.common import atomic
from stages.common.errors import HeadstartError
from stages.common.targets import Content

CONTENT = Content("test", {"a": lambda path: True})


def test_outputs_are_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with atomic.directory(target, CONTENT) as folder:
        (folder / "a").write_text("1", "utf-8")
    with pytest.raises(RuntimeError), atomic.directory(target, CONTENT) as folder:
        (folder / "a").write_text("2", "utf-8")
        raise RuntimeError
    with (
        atomic.directory(target, CONTENT),
        pytest.raises(HeadstartError, match="being written"),
        atomic.directory(target, CONTENT),
    ):
        pass
    assert not list(target.iterdir()) and [path.name for path in tmp_path.iterdir()] == ["out"]
