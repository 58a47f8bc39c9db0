"""Libraries that are imported without others."""

import subprocess
import sys

import pytest

from stages.common import hidden_modules

ARROW = """
import sys
import pyarrow as pa
from stages.common import hidden_modules
hidden_modules.use_arrow_without_pandas()
table = pa.table({"n": pa.array([1, 2])})
assert "pandas" not in sys.modules
frame = table.to_pandas()
assert pa.Table.from_pandas(frame, preserve_index=False).equals(table)
"""


def test_a_hidden_module_cannot_be_imported_until_the_block_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "this", raising=False)
    before = list(sys.meta_path)
    with pytest.raises(ModuleNotFoundError, match="this is hidden"), hidden_modules.without("this"):
        __import__("this")
    assert sys.meta_path == before


def test_a_module_that_is_imported_already_is_not_hidden() -> None:
    with hidden_modules.without("json"):
        __import__("json")


def test_arrow_makes_arrays_without_pandas_and_frames_all_the_same() -> None:
    done = subprocess.run([sys.executable, "-c", ARROW], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
