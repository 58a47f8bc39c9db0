"""Import a library without another, large one that it would import only to see whether it is there."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _Absent:
    """A finder of modules for `sys.meta_path` that knows of one that it is not installed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == self._name:
            raise ModuleNotFoundError(f"{name} is hidden", name=name)


@contextmanager
def without(name: str) -> Iterator[None]:
    """Let `import name` fail in the block, as if it were not installed; a module that is imported already stays.

    Not for blocks beside which other threads import the module.
    """
    finder = _Absent(name)
    sys.meta_path.insert(0, finder)  # a None in sys.modules would not do: compiled code takes it for the module
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def use_arrow_without_pandas() -> None:
    """Let pyarrow make its first array without pandas, which it imports to know a Series by: 0.4 processor seconds.

    Only for verbs that give pyarrow no Series or Index; its methods that are named after pandas work as ever.
    """
    import pyarrow as pa

    with without("pandas"):
        pa.array([])
