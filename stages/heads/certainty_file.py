"""certainty.safetensors, beside a model: held-out rows, and vectors of training rows.

Thresholds for any accuracy or coverage follow from it, so a change of the section `predict` of params.yaml trains
nothing again.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import cast, get_args

import numpy as np
import safetensors
import safetensors.numpy
import scipy

from stages.common.errors import damaged
from stages.heads.certainty import Certainty, HeldOut, HeldOutNumbers, Known, Source
from stages.scores import familiarity

FILE = "certainty.safetensors"


def write(folder: Path, certainty: Certainty) -> None:
    """Write what there is to certainty.safetensors; the same bytes for the same numbers."""
    tensors: dict[str, np.ndarray] = {}
    metadata: dict[str, str] = {}
    if certainty.held_out:
        held_out = certainty.held_out._asdict()
        metadata["source"] = held_out.pop("source")
        tensors |= {name: value for name, value in held_out.items() if value is not None}
    if certainty.known:
        X = certainty.known.X
        tensors["distances"] = certainty.known.distances
        if isinstance(X, np.ndarray):
            tensors["vectors"] = X.astype(np.float16)
        else:
            tensors |= {"values": X.data.astype(np.float16), "indices": X.indices.astype(np.int32)}
            tensors |= {"offsets": X.indptr.astype(np.int64), "shape": np.array(X.shape, np.int64)}
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    (folder / FILE).write_bytes(safetensors.numpy.save(contiguous, metadata or None))


def read(folder: Path) -> Certainty:
    """Read what `write` wrote; nothing where a model has no such file, as those of older versions.

    Raises:
        HeadstartError: the file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return Certainty()
    try:
        with safetensors.safe_open(path, "np") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            source = (file.metadata() or {}).get("source")
        return Certainty(_held_out(tensors, source), _known(tensors))
    except Exception as error:  # the reader raises errors of many types
        raise damaged(path, error) from None


def _held_out(tensors: Mapping[str, np.ndarray], source: str | None) -> HeldOut | HeldOutNumbers | None:
    if source is None:
        return None
    if source not in get_args(Source):
        raise ValueError(f"source is {source!r}")
    if "errors" in tensors:
        errors = _checked(tensors, "errors", np.float64, tensors["errors"].shape[:1])
        return HeldOutNumbers(np.sort(np.abs(errors)), cast(Source, source))
    shape = tensors["confidence"].shape
    unknown = None
    if "unknown" in tensors:
        unknown = _checked(tensors, "unknown", np.float32, tensors["unknown"].shape[:1])
    return HeldOut(
        _checked(tensors, "confidence", np.float32, shape[:1]),
        _checked(tensors, "is_right", np.bool_, shape),
        _checked(tensors, "p_true", np.float32, shape),
        cast(Source, source),
        unknown,
    )


def _known(tensors: Mapping[str, np.ndarray]) -> Known | None:
    if "distances" not in tensors:
        return None
    rows = len(tensors["distances"])
    if rows <= familiarity.NEIGHBORS:
        raise ValueError(f"distances are of {rows} rows, too few")
    distances = _checked(tensors, "distances", np.float32, (rows,))
    if "vectors" in tensors:
        dim = tensors["vectors"].shape[-1]
        return Known(_checked(tensors, "vectors", np.float16, (rows, dim)).astype(np.float32), distances)
    count = len(tensors["values"])
    X = scipy.sparse.csr_matrix(
        (
            _checked(tensors, "values", np.float16, (count,)).astype(np.float32),
            _checked(tensors, "indices", np.int32, (count,)),
            _checked(tensors, "offsets", np.int64, (rows + 1,)),
        ),
        (rows, int(_checked(tensors, "shape", np.int64, (2,))[1])),
    )
    X.check_format()
    return Known(X, distances)


def _checked(tensors: Mapping[str, np.ndarray], name: str, kind: type, shape: tuple[int, ...]) -> np.ndarray:
    """Return a tensor.

    Raises:
        ValueError: it is of another type or shape, or holds values that are not finite.
    """
    tensor = tensors[name]
    if tensor.dtype != kind or tensor.shape != shape or not np.isfinite(tensor).all():
        raise ValueError(
            f"{name} is {tensor.dtype} of {tensor.shape}, or not finite, and not {kind.__name__} of {shape}"
        )
    return tensor
