"""Write skops archives, which hold estimators without pickle, in repeatable bytes, and read what heads are made of."""

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

from stages.common.errors import listed

SPARSE = "scipy.sparse._csr.csr_matrix"  # in which knn keeps sparse training rows
# What a head is made of beside its estimators: by node of skops, the types that it may make.
NODES = {
    "DictNode": ("builtins.dict",),
    "ListNode": ("builtins.list",),
    "TupleNode": ("builtins.tuple",),
    "JsonNode": ("builtins.str",),
    "TypeNode": ("builtins.str",),
    "NdArrayNode": ("numpy.ndarray", *(f"numpy.{name}" for name in ("float32", "float64", "int32", "int64"))),
    "SparseMatrixNode": (SPARSE,),
    "RandomStateNode": ("numpy.random.mtrand.RandomState",),
}


def dumps(estimator: Any, estimators: Sequence[type]) -> bytes:
    """Write an archive: the same bytes for the same estimator. `estimators`: the classes it may be made of."""
    return _repeatable(skops_io(estimators).dumps(estimator))


def loads(content: bytes, estimators: Sequence[type]) -> Any:
    """Read an archive that `dumps` wrote. `estimators`: the classes it may be made of.

    Raises:
        ValueError: it holds anything that no head is made of.
        Exception: it is damaged; zipfile, json, numpy, scipy and skops raise many types.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        unexpected = sorted(set(_unexpected(json.loads(archive.read("schema.json")), estimators)))
    if unexpected:
        raise ValueError(f"it holds {listed(unexpected, limit=5)}, which no head needs")
    return skops_io(estimators).loads(content, trusted=[SPARSE])


def _unexpected(schema: Any, estimators: Sequence[type]) -> Iterator[str]:
    """Yield the types in a schema that no head is made of."""
    allowed = {**NODES, "ObjectNode": tuple(f"{cls.__module__}.{cls.__qualname__}" for cls in estimators)}
    pending = [schema]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if "__loader__" in value:
                node, name = value["__loader__"], f"{value.get('__module__')}.{value.get('__class__')}"
                if name not in allowed.get(str(node), ()):
                    yield f"{name} ({node})"
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


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
