"""Write the feature table, whose columns features.py describes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.common.backbone_shorthand import titled
from stages.common.errors import HeadstartError
from stages.tables import features, shards


class Writer(shards.Writer):
    """Streams one split of the feature table, or its unlabelled rows, into the shards of the folder of that name."""

    def __init__(self, folder: Path, metadata: features.Metadata, *, has_groups: bool = False) -> None:
        self._metadata, self._has_groups = metadata, has_groups
        schema = features.schema(metadata, folder.name)
        super().__init__(folder, schema.append(features.GROUP) if has_groups else schema, metadata.model_dump())

    def write_rows(
        self,
        ids: Sequence[str],
        labels: Sequence[str | None],
        X: features.Matrix,
        counts: np.ndarray | None = None,
        groups: Sequence[str | None] = (),
    ) -> None:
        """Append rows.

        Args:
            X: (rows, dim), which is rounded to the stored type.
            counts: (rows, 2) int32 tokens of the whole texts and unclear ones, with a `max_length` in the metadata.
            groups: (rows,) with `has_groups`; None where a row has none.

        Raises:
            HeadstartError: a vector has non-finite values.
        """
        columns: dict[str, pa.Array] = {
            "id": pa.array(ids, pa.string()),
            "label": pa.array(labels, pa.string()),
        }
        if isinstance(X, np.ndarray):
            with np.errstate(over="ignore"):
                flat = np.ascontiguousarray(X, dtype=self._metadata.extract.dtype).ravel()
            check_finite(ids, flat, titled(self._metadata.backbone))
            columns["feature"] = pa.FixedSizeListArray.from_arrays(pa.array(flat), self._metadata.dim)
        else:
            check_finite(ids, X, titled(self._metadata.backbone))
            X.sort_indices()
            offsets = pa.array(X.indptr.astype(np.int32))
            columns["indices"] = pa.ListArray.from_arrays(offsets, pa.array(X.indices.astype(np.int32)))
            columns["values"] = pa.ListArray.from_arrays(offsets, pa.array(X.data.astype(np.float32)))
        if self._metadata.max_length is not None:
            assert counts is not None
            columns |= {field.name: pa.array(counts[:, k], pa.int32()) for k, field in enumerate(features.COUNTS)}
        if self._has_groups:
            columns[features.GROUP.name] = pa.array(groups, features.GROUP.type)
        self.write(pa.table(columns))


def check_finite(ids: Sequence[str], X: features.Matrix, name: str) -> None:
    """Check the stored vectors of the rows `ids`, dense ones in any shape, that the backbone `name` computed.

    Raises:
        HeadstartError: a vector has non-finite values.
    """
    values = X if isinstance(X, np.ndarray) else X.data
    if np.isfinite(values).all():
        return
    wrong = int(np.flatnonzero(~np.isfinite(values).ravel())[0])
    if isinstance(X, np.ndarray):
        row = wrong // (values.size // len(ids))
    else:
        row = int(np.searchsorted(X.indptr, wrong, "right")) - 1
    raise HeadstartError(
        f"{name} produced non-finite values for row {ids[row]}; its weights are damaged"
        + (", or float16 cannot hold them: set extract.dtype to float32" if values.dtype == np.float16 else "")
    )
