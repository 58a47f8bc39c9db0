"""What makes exporting quicker in one process."""

from collections.abc import Iterator
from functools import cache

import pytest


@pytest.fixture(autouse=True, scope="session")
def _operators_are_found_once() -> Iterator[None]:
    """Let torch make its table of ONNX operators once, not for each graph: a second of the eight that tracing takes."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(cache(ONNXRegistry.from_torchlib)))
        yield
