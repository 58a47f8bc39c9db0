"""Write skops archives, which hold estimators without pickle, in repeatable bytes."""

import io
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import sklearn.utils


def dumps(estimator: Any, estimators: Sequence[type]) -> bytes:
    """Write an archive: the same bytes for the same estimator. `estimators`: the classes it may be made of."""
    return _repeatable(skops_io(estimators).dumps(estimator))


def skops_io(estimators: Sequence[type]) -> ModuleType:
    """Import skops.io so that it trusts only these estimators of scikit-learn.

    On import, skops asks scikit-learn for all estimators. That imports every module of scikit-learn and, through one of
    them, torch: 4 s and 600 MB to save a few coefficients.
    """
    with _all_estimators_are(estimators):
        import skops.io
    return skops.io  # type: ignore[no-any-return]


@contextmanager
def _all_estimators_are(estimators: Sequence[type]) -> Iterator[None]:
    original = sklearn.utils.all_estimators
    sklearn.utils.all_estimators = lambda: [(estimator.__name__, estimator) for estimator in estimators]
    try:
        yield
    finally:
        sklearn.utils.all_estimators = original


def _repeatable(archive: bytes) -> bytes:
    """Rewrite a skops archive without what differs between runs: object ids, which are memory addresses, and dates."""
    numbers: dict[str, str] = {}

    def renumber(object_id: re.Match[str]) -> str:
        return numbers.setdefault(object_id[0], str(len(numbers) + 1))

    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(out, "w") as target:
        schema = json.loads(source.read("schema.json"))
        text = json.dumps(schema, indent=2)
        text = re.sub(r'(?<="__id__": )\d+|(?<=")\d+(?=\.np[yz]")', renumber, text)
        contents = {
            numbers[path.stem] + path.suffix: source.read(str(path))
            for path in map(Path, source.namelist())
            if path.suffix in (".npy", ".npz")
        }
        for name, content in [("schema.json", text.encode()), *sorted(contents.items())]:
            target.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()
